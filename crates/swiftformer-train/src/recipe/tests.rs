use swiftformer::image::Orientation;

use super::*;
use crate::{
    data::View,
    loss::{BaseHead, Distillation},
    optim::{AgcScope, Clip},
    schedule::Reading,
};

#[test]
fn every_recipe_of_the_crate_is_read() {
    for name in NAMES {
        let recipe = Recipe::open(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Recipe::parse(&recipe.to_text().unwrap(), name).unwrap(), recipe, "{name}");
    }
}

#[test]
fn paper_recipes_are_the_scripts() {
    for name in ["paper-xs", "paper-s", "paper-l1", "paper-l3"] {
        let recipe = Recipe::open(name).unwrap();
        let rates = recipe.rates();
        assert_eq!((rates.epochs, rates.total_epochs(), rates.warmup_lr, rates.min_lr), (300, 300, 1e-6, 1e-5));
        assert_eq!(
            (rates.warmup_epochs, rates.cooldown_epochs, rates.lr, rates.reading),
            (5.0, 10, 2e-3, Reading::Original)
        );
        assert_eq!((rates.of_epoch(0), rates.of_epoch(1)), (1e-6, 1e-6), "the script is an epoch behind");
        let timms = recipe.with(["reading=timm"]).unwrap().rates();
        assert_eq!((timms.total_epochs(), timms.of_epoch(6)), (310, rates.of_epoch(7)));
        assert_eq!((recipe.schedule.shape, recipe.schedule.every_step), (ScheduleKind::Cosine, false));
        assert_eq!(
            (recipe.optimizer.rule, recipe.optimizer.betas, recipe.optimizer.eps),
            (RuleKind::Adamw, [0.9, 0.999], 1e-8)
        );
        assert_eq!((rates.at(5.0) * 1e6).round(), 1999.0, "behind the warm-up 2e-3 nearly, on its cosine");
        assert_eq!(recipe.run.batch * recipe.run.accumulate, 2048);
        assert_eq!(recipe.clip(), Clip::Agc { factor: 0.01, scope: AgcScope::All });
        assert_eq!((recipe.optimizer.ema, recipe.optimizer.weight_decay), (0.99996, 0.025));
        assert_eq!((recipe.loss.smoothing, recipe.augment.jitter, recipe.augment.erase), (0.1, 0.4, 0.25));
        assert_eq!(recipe.augment.repeats, 3);
        let criterion = recipe.criterion();
        assert_eq!((criterion.distillation, criterion.base_head), (Distillation::Hard { alpha: 0.5 }, BaseHead::Class));
        let policy = if name == "paper-xs" { "" } else { "rand-m9-mstd0.5-inc1" };
        assert_eq!((recipe.augment.policy.as_str(), recipe.data.size), (policy, 224), "{name}");
        assert_eq!(recipe.mix().unwrap().is_none(), ["paper-xs", "paper-s"].contains(&name), "{name}");
    }
}

#[test]
fn the_rate_follows_the_size_of_a_step() {
    let recipe = Recipe::open("paper-xs").unwrap().with(["accumulate=1"]).unwrap();
    assert_eq!(recipe.rates().lr, 2e-3 / 16.0);
}

#[test]
fn training_images_are_turned_as_those_to_judge_by() {
    for orientation in [Orientation::Apply, Orientation::Ignore] {
        let view = Recipe::default().train_view([[0.5; 3]; 2], orientation).unwrap();
        let View::Train(view) = view else { panic!("no training images") };
        assert_eq!(view.orientation, orientation);
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let recipe = Recipe::default();
    for (setting, nearest) in [
        ("schedule.epoch=3", "schedule.epochs"),
        ("weightdecay=0", "optimizer.weight_decay"),
        ("optimiser.ema=0", "optimizer.ema"),
    ] {
        let error = recipe.with([setting]).unwrap_err().to_string();
        assert!(error.contains(&format!("did you mean `{nearest}`?")), "{error}");
    }
    let error = Recipe::parse("[run]\nbatches = 3\n", "mine").unwrap_err().to_string();
    assert!(error.contains("`run.batches`: did you mean `run.batch`?"), "{error}");
    let error = Recipe::parse("[optimiser]\n[loss]\n", "mine").unwrap_err().to_string();
    assert!(error.contains("`optimiser`: did you mean `optimizer`?"), "{error}");
    assert!(Recipe::parse("[loss]\n", "mine").is_ok());
}

#[test]
fn a_value_of_the_wrong_kind_is_named() {
    for (setting, parts) in [
        ("lr=fast", ["`schedule.lr`", "a number"]),
        ("epochs=1.5", ["`schedule.epochs`", "a whole number"]),
        ("nesterov=1", ["`optimizer.nesterov`", "true or false"]),
        ("epochs=0", ["`schedule.epochs` is 0", "1 to a million"]),
        ("accumulate=9000000000000000000", ["`run.accumulate`", "1 to a million"]),
        ("run.batch=-1", ["invalid value", "run.batch"]),
        ("clip=agcc", ["agcc", "agc-timm"]),
        ("policy=rand-q9", ["`augment.policy`", "rand-q9"]),
        ("size=16", ["`data.size` is 16", "32 to 4096"]),
        ("category=tribe", ["`data.category`", "kingdom, phylum"]),
        ("cifar_labels=rough", ["`data.cifar_labels`", "fine or coarse"]),
        ("smoothing=nan", ["`loss.smoothing`", "below 1"]),
        ("epochs", ["`epochs` sets nothing", "key=value"]),
    ] {
        let error = Recipe::default().with([setting]).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{setting}: {error}");
        }
    }
}

#[test]
fn whole_numbers_do_for_real_ones() {
    let recipe = Recipe::default().with(["lr=1", "scale=[1, 1]", "clip=agc-timm", "teacher=5"]).unwrap();
    assert_eq!((recipe.schedule.lr, recipe.augment.scale, recipe.loss.teacher.as_str()), (1.0, [1.0, 1.0], "5"));
    assert_eq!(recipe.optimizer.clip, ClipKind::AgcTimm);
}

#[test]
fn differences_are_listed() {
    let recipe = Recipe::default();
    let differences = recipe.differences(&recipe.with(["lr=0.5", "seed=3"]).unwrap()).unwrap();
    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["run.seed: 0 -> 3", "schedule.lr: 0.001 -> 0.5"]);
}
