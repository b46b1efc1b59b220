use super::*;

#[test]
fn differences_below_a_thousandth_agree() {
    let (_, expected) = PUBLISHED[0];
    let near: Vec<f32> = expected.iter().map(|value| value + 0.0009).chain([7.0; 995]).collect();
    assert!(compare(&near, expected).agrees());
    let far: Vec<f32> = expected.iter().map(|value| value - 0.0011).collect();
    assert!(!compare(&far, expected).agrees());
}

#[test]
fn missing_and_nan_logits_disagree() {
    let (_, expected) = PUBLISHED[3];
    assert!(!compare(&expected[..4], expected).agrees());
    let mut found = expected;
    found[2] = f32::NAN;
    assert!(!compare(&found, expected).agrees());
    assert!(compare(&found, expected).to_string().starts_with("WRONG"));
}
