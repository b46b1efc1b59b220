use super::*;

#[test]
fn a_long_file_is_named_with_its_length() {
    assert!(rust("a.rs", &"\n".repeat(MAX_LINES)).is_empty());
    assert_eq!(rust("a.rs", &"\n".repeat(MAX_LINES + 1)), ["a.rs: 601 lines, the limit is 600"]);
}

#[test]
fn unsafe_is_allowed_in_the_kernels_alone() {
    let text = "fn f() {\n    unsafe { g() }\n}\n";
    assert!(rust("crates/swiftformer-kernels/src/pool.rs", text).is_empty());
    assert_eq!(rust("crates/swiftformer/src/tensor.rs", text).len(), 1);
    assert!(rust("crates/swiftformer/src/tensor.rs", "// unsafe { }\n").is_empty());
}

#[test]
fn unfinished_work_is_found() {
    let text = format!("fn f() {{\n    {}\n}}\n", UNFINISHED[2]);
    let broken = rust("a.rs", &text);
    assert!(broken.len() == 1 && broken[0].starts_with("a.rs:2:"), "{broken:?}");
}

#[test]
fn links_are_found_outside_of_code() {
    let text = "[a](b.md) and ![c](d/e.png#f)\n```\n[not](this)\n```\n[web](https://example.org)\n";
    assert_eq!(links(text), ["b.md", "d/e.png#f", "https://example.org"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let broken = markdown("page.md", "[here](Cargo.toml) [gone](no/such.md) [web](https://example.org)", root);
    assert_eq!(broken, ["page.md: the link to no/such.md leads nowhere"]);
}
