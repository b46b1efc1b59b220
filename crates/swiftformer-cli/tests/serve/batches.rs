//! Requests share the engine.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use crate::support::{Answer, Server, at_once, file, read_answer, request, tensor};

#[test]
fn requests_that_arrive_together_share_a_batch() {
    let server = Server::start(&["--max-wait-ms", "2000", "--max-batch", "4"]);
    let picture = file("images/gray.png");
    let answers = at_once(4, |_| server.post("/v1/classify", &picture).is(200).json());
    assert!(answers.iter().all(|answer| answer["batch"] == 4), "{answers:?}");
    assert_eq!(
        (server.metric("swiftformer_batch_images_count"), server.metric("swiftformer_images_total")),
        (1.0, 4.0)
    );
}

#[test]
fn nobody_waits_longer_than_asked_for_others() {
    let server = Server::start(&["--max-wait-ms", "300", "--max-batch", "4"]);
    let picture = file("images/gray.png");
    let began = Instant::now();
    let answer = server.post("/v1/classify", &picture).is(200).json();
    let queue = answer["timings_ms"]["queue"].as_f64().unwrap();
    assert!((290.0..3000.0).contains(&queue) && began.elapsed() >= Duration::from_millis(290), "{answer}");
    assert_eq!(answer["batch"], 1);
    let quick = Server::start(&[]);
    let queue = |_| quick.post("/v1/classify", &picture).is(200).json()["timings_ms"]["queue"].as_f64().unwrap();
    assert!((0..20).map(queue).fold(f64::INFINITY, f64::min) < 5.0);
}

#[test]
fn a_bad_picture_costs_its_neighbours_nothing() {
    let server = Server::start(&["--max-wait-ms", "1000", "--max-batch", "4"]);
    let (good, jpeg) = (file("images/gray.png"), file("images/china.jpg"));
    let answers = at_once(6, |index| match index {
        0 | 1 => server.post("/v1/classify", &jpeg[..jpeg.len() / 2]),
        _ => server.post("/v1/classify", &good),
    });
    let (bad, good) = answers.split_at(2);
    bad.iter().for_each(|answer| drop(answer.clone().refuses(422, "image_truncated")));
    assert!(good.iter().all(|answer| answer.clone().is(200).json()["batch"] == 4), "{good:?}");
}

#[test]
fn images_of_one_request_are_spread_over_batches_in_their_order() {
    let server = Server::start(&["--max-batch", "2"]);
    let value = |index: usize| (index / (3 * 224 * 224)) as f32 / 4.0 - 0.5;
    let all = server.post("/v1/forward", &tensor("pixel_values", &[5, 3, 224, 224], value)).is(200);
    let logits = |answer: Answer| {
        let tensors = swiftformer::weights::safetensors::read(&answer.body.into()).unwrap().0;
        tensors["logits"].to_f32()
    };
    let all = logits(all);
    for image in 0..5 {
        let one = tensor("pixel_values", &[1, 3, 224, 224], |_| image as f32 / 4.0 - 0.5);
        let one = logits(server.post("/v1/forward", &one).is(200));
        assert_eq!(one, all[image * one.len()..(image + 1) * one.len()]);
    }
    assert!(server.metric("swiftformer_batch_images_count") >= 8.0);
}

#[test]
fn a_full_queue_refuses_at_once_and_answers_what_it_took() {
    let server = Server::start(&["--queue", "4", "--max-batch", "2"]);
    let four = tensor("pixel_values", &[4, 3, 224, 224], |_| 0.1);
    let answers: Vec<Answer> =
        at_once(16, |_| (0..4).map(|_| server.post("/v1/forward", &four)).collect::<Vec<_>>()).concat();
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let answer = answer.clone().refuses(503, "queue_full");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert!(taken > 0 && taken < answers.len(), "{taken} of {}", answers.len());
    assert!(server.metric("swiftformer_rejections_total{reason=\"queue_full\"}") > 0.0);
    server.post("/v1/forward", &four).is(200);
    server.post("/v1/forward", &tensor("pixel_values", &[5, 3, 224, 224], |_| 0.1)).refuses(413, "too_large");
    assert_eq!(server.metric("swiftformer_queue_depth"), 0.0);
}

#[test]
fn what_nobody_waits_for_is_not_run() {
    // Nothing runs before two seconds are over, so that all of this is dropped while it waits.
    let server = Server::start(&["--max-wait-ms", "2000", "--max-batch", "64"]);
    let picture = file("images/gray.png");
    let gone: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&request("POST", "/v1/classify", &[], &picture)).unwrap();
            stream
        })
        .collect();
    let late = server.send("POST", "/v1/classify", &[("x-timeout-ms", "100")], &picture);
    late.refuses(504, "timeout");
    drop(gone);
    server.logged_where(|line| line["status"] == 499);
    let mut stream = server.connect();
    stream.write_all(&request("POST", "/v1/classify", &[], &picture)).unwrap();
    assert_eq!(read_answer(&mut stream).unwrap().is(200).json()["batch"], 1);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(server.metric("swiftformer_images_total"), 1.0);
    assert_eq!(server.metric("swiftformer_cancelled_total"), 6.0);
}
