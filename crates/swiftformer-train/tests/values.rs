//! Losses, learning rates and drop-path rates against the references' numbers.

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use support::{json, tensors};
use swiftformer_train::{
    loss::{BaseHead, BaseLoss, Criterion, Distillation, LossError, Targets},
    model::{DropPathRule, Outputs},
    schedule::{Plateau, PlateauOptions, Reading, Schedule, Shape},
};

fn logits(values: Vec<f32>) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [4, 10]), &Device::flex())
}

fn number(tensor: &Tensor<1>) -> f64 {
    f64::from(tensor.to_data().try_into_vec::<f32>().unwrap()[0])
}

#[test]
fn every_loss_is_the_references() {
    let golden = tensors("training/losses.safetensors");
    let values = |name: &str| golden[name].to_f32();
    let outputs = Outputs { head: logits(values("logits")), dist_head: Some(logits(values("logits_kd"))) };
    let teacher = logits(values("teacher"));
    let classes = Targets::Classes(values("labels").iter().map(|&label| label as usize).collect());
    let soft = Targets::Soft(values("soft_targets"));
    let check = |name: &str, found: &Tensor<1>| {
        let (found, expected) = (number(found), f64::from(values(name)[0]));
        assert!((found / expected - 1.0).abs() < 1e-6, "{name}: {found} {expected}");
    };
    let cross_entropy = |smoothing| BaseLoss::CrossEntropy { smoothing };
    check("ce", &cross_entropy(0.0).evaluate(&outputs.head, &classes).unwrap());
    check("label_smoothing_ce", &cross_entropy(0.1).evaluate(&outputs.head, &classes).unwrap());
    check("soft_target_ce", &cross_entropy(0.1).evaluate(&outputs.head, &soft).unwrap());
    let mut checked = 0;
    for alpha in [0.5, 0.3] {
        for (kind, tau) in [("none", 1.0), ("hard", 1.0), ("soft", 1.0), ("soft", 2.0), ("soft", 3.5)] {
            let distillation = match kind {
                "none" => Distillation::None,
                "hard" => Distillation::Hard { alpha },
                _ => Distillation::Soft { alpha, tau },
            };
            let criterion = Criterion { base: cross_entropy(0.0), base_head: BaseHead::Class, distillation };
            let parts = criterion.evaluate(&outputs, &soft, Some(&teacher)).unwrap();
            check(&format!("distill.{kind}.tau{tau:.1}.alpha{alpha}"), &parts.total);
            checked += 1;
        }
    }
    assert_eq!(checked, golden.keys().filter(|name| name.starts_with("distill")).count());
}

/// PyTorch's `binary_cross_entropy_with_logits` of the same numbers, written out.
#[test]
fn binary_cross_entropy_averages_over_classes() {
    let x = [1.5_f64, -0.5, 0.0, 2.0];
    let head = Tensor::<2>::from_data(TensorData::new(x.map(|v| v as f32).to_vec(), [2, 2]), &Device::flex());
    let loss = |targets: [f64; 4]| {
        let each = x.iter().zip(targets).map(|(x, t)| {
            let p = 1.0 / (1.0 + (-x).exp());
            -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
        });
        each.sum::<f64>() / 4.0
    };
    let classes = Targets::Classes(vec![0, 1]);
    let base = BaseLoss::Binary { smoothing: 0.1, threshold: None };
    let found = number(&base.evaluate(&head, &classes).unwrap());
    assert!((found - loss([0.95, 0.05, 0.05, 0.95])).abs() < 1e-6);
    let base = BaseLoss::Binary { smoothing: 0.1, threshold: Some(0.5) };
    let found = number(&base.evaluate(&head, &Targets::Soft(vec![0.6, 0.4, 0.5, 0.9])).unwrap());
    assert!((found - loss([1.0, 0.0, 0.0, 1.0])).abs() < 1e-6);
}

#[test]
fn targets_that_do_not_fit_are_errors() {
    let base = BaseLoss::CrossEntropy { smoothing: 0.0 };
    let head = logits(vec![0.0; 40]);
    let error = base.evaluate(&head, &Targets::Classes(vec![0, 1, 10, 2])).unwrap_err();
    assert_eq!(error, LossError::Class { label: 10, image: 2, classes: 10 });
    let error = base.evaluate(&head, &Targets::Soft(vec![0.1; 39])).unwrap_err();
    assert_eq!(error, LossError::Count { logits: [4, 10], expected: 40, found: 39 });
    let criterion = Criterion { base, base_head: BaseHead::Class, distillation: Distillation::Hard { alpha: 0.5 } };
    let outputs = Outputs { head, dist_head: None };
    let targets = Targets::Classes(vec![0; 4]);
    assert_eq!(criterion.evaluate(&outputs, &targets, None).unwrap_err(), LossError::NoTeacher);
    let teacher = logits(vec![0.0; 40]);
    assert_eq!(criterion.evaluate(&outputs, &targets, Some(&teacher)).unwrap_err(), LossError::NoDistillationHead);
}

#[test]
fn cosine_schedules_are_timms_and_the_scripts() {
    let golden = json("training/schedules.json");
    for (name, case) in golden["cases"].as_object().unwrap() {
        let arg = |key: &str| case["args"][key].as_f64().unwrap();
        let mut schedule = Schedule {
            shape: Shape::Cosine,
            lr: arg("lr"),
            min_lr: arg("min_lr"),
            epochs: arg("epochs") as usize,
            warmup_epochs: arg("warmup_epochs"),
            warmup_lr: arg("warmup_lr"),
            cooldown_epochs: arg("cooldown_epochs") as usize,
            reading: Reading::Timm,
        };
        for reading in [Reading::Timm, Reading::Original] {
            schedule.reading = reading;
            let key = match reading {
                Reading::Timm => "lr_used_during_epoch_timm_train_py",
                Reading::Original => "lr_used_during_epoch_original_main_py",
            };
            let expected = case[key].as_array().unwrap();
            assert_eq!(expected.len(), schedule.total_epochs(), "{name}");
            for (epoch, expected) in expected.iter().enumerate() {
                let (found, expected) = (schedule.of_epoch(epoch), expected.as_f64().unwrap());
                assert!((found - expected).abs() <= 1e-12, "{name} {reading:?} epoch {epoch}: {found} {expected}");
            }
        }
        assert_eq!(schedule.of_step(3, 0, 100), schedule.at(3.0));
        let mid = schedule.of_step(7, 50, 100);
        assert!(mid < schedule.at(7.0) && mid > schedule.at(8.0), "{name}");
    }
}

#[test]
fn steps_fall_at_whole_multiples_and_stop_at_the_minimum() {
    let schedule = Schedule {
        shape: Shape::Step { every: 2.5, rate: 0.1 },
        lr: 1.0,
        min_lr: 5e-3,
        epochs: 10,
        warmup_epochs: 1.0,
        warmup_lr: 0.5,
        cooldown_epochs: 0,
        reading: Reading::Timm,
    };
    let found: Vec<f64> = [0.0, 0.5, 1.0, 2.4, 2.5, 5.0, 7.5, 9.0].iter().map(|&e| schedule.at(e)).collect();
    let expected = [0.5, 0.75, 1.0, 1.0, 0.1, 0.01, 5e-3, 5e-3];
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-12), "{found:?}");
}

/// PyTorch 2.15's `ReduceLROnPlateau` in mode `max` with factor 0.5, patience 1, threshold 1e-4, cool-down 1.
#[test]
fn plateaus_lower_the_rate_after_patience_and_rest_in_the_cool_down() {
    let options = PlateauOptions {
        lr: 1.0,
        min_lr: 0.2,
        rate: 0.5,
        patience: 1,
        threshold: 1e-4,
        cooldown: 1,
        warmup_epochs: 2,
        warmup_lr: 0.0,
        larger_is_better: true,
    };
    let mut plateau = Plateau::new(options);
    assert_eq!(plateau.lr(), 0.0);
    assert_eq!([plateau.step(1, 9.0), plateau.step(2, 9.0)], [0.5, 1.0]);
    let metrics = [1.0, 1.0, 1.000_05, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let rates: Vec<f64> = metrics.iter().enumerate().map(|(at, &metric)| plateau.step(3 + at, metric)).collect();
    assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2]);
    assert_eq!(Plateau::resume(options, plateau.state()), plateau);
}

#[test]
fn drop_path_rates_are_those_of_each_library() {
    let golden = json("training/drop_path.json");
    let mut checked = 0;
    for (variant, case) in golden["variants"].as_object().unwrap() {
        let depths: [usize; 4] = match variant.as_str() {
            "xs" => [3, 3, 6, 4],
            "s" => [3, 3, 9, 6],
            "l1" => [4, 3, 10, 5],
            _ => [4, 4, 12, 6],
        };
        let by_rate = case.as_object().unwrap();
        let by_rate = by_rate.get("rates").and_then(|rates| rates.as_object()).unwrap_or(by_rate);
        for (rate, libraries) in by_rate.iter().filter_map(|(rate, l)| Some((rate.parse::<f64>().ok()?, l))) {
            for (library, rule) in [
                ("timm", DropPathRule::EveryBlock),
                ("hf", DropPathRule::AttentionBlocks),
                ("original", DropPathRule::AttentionBlocks),
            ] {
                let found = rule.rates(rate, &depths);
                let expected = libraries[library].as_array().unwrap();
                for (found, expected) in found.iter().flatten().zip(expected.iter().flat_map(|s| s.as_array().unwrap()))
                {
                    assert!((found - expected.as_f64().unwrap()).abs() < 1e-12, "{variant} {rate} {library}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked >= 3 * 3 * 16, "{checked}");
}
