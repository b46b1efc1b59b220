//! Rules about files that no other tool checks.

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::command;

/// The longest that a Rust file may be.
const MAX_LINES: usize = 600;
/// The most that `testdata` may hold, inference and training together: every clone pays for it.
const MAX_TESTDATA: u64 = 26 << 20;
/// Where `unsafe` may stand: the kernels, and the one memory map.
const UNSAFE: [&str; 2] = ["crates/swiftformer-kernels/", "crates/swiftformer/src/weights/mapped.rs"];
/// Written in two parts, so that this file does not break its own rule.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[", "ignore"),
];

/// The files of the workspace that are, or would be, under version control; `None` without git.
pub fn files(root: &Path) -> Option<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let files = command::output_in(root, "git", &list)?;
    Some(files.split('\0').filter(|file| root.join(file).is_file()).map(str::to_owned).collect())
}

/// Every broken rule of the workspace, a line each.
pub fn broken(root: &Path, files: &[String]) -> Result<Vec<String>> {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut broken = Vec::new();
    let mut testdata = 0;
    for &file in &files {
        let path = root.join(file);
        if let Some(inside) = file.strip_prefix("testdata/") {
            testdata += fs::metadata(&path)?.len();
            let case = inside.split_once('/').map(|(case, _)| format!("testdata/{case}/README.md"));
            broken.extend(
                case.filter(|readme| !files.contains(&readme.as_str()))
                    .map(|readme| format!("{file}: {readme} must give its source and licence")),
            );
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => broken.extend(rust(file, &fs::read_to_string(&path)?)),
            Some("md") => broken.extend(markdown(file, &fs::read_to_string(&path)?, root)),
            _ => {}
        }
    }
    if testdata > MAX_TESTDATA {
        broken.push(format!("testdata: {testdata} bytes, the limit is {MAX_TESTDATA}"));
    }
    broken.extend(summary(&files, root)?);
    Ok(broken)
}

/// What is wrong with a Rust file.
fn rust(file: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        broken.push(format!("{file}: {lines} lines, the limit is {MAX_LINES}"));
    }
    let may_be_unsafe = UNSAFE.iter().any(|place| file.starts_with(place));
    for (index, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", index + 1);
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(**mark)) {
            broken.push(format!("{place}: `{mark}` marks unfinished work"));
        }
        let code = line.split("//").next().unwrap_or(line);
        let opens = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|form| code.contains(form));
        if opens && !may_be_unsafe && file != "xtask/src/rules.rs" && file != "xtask/src/rules/tests.rs" {
            broken.push(format!("{place}: `unsafe` belongs in the kernels crate"));
        }
    }
    broken
}

/// Relative links of a Markdown file that lead nowhere.
fn markdown(file: &str, text: &str, root: &Path) -> Vec<String> {
    let folder = root.join(file).parent().map(Path::to_owned).unwrap_or_default();
    let leads_nowhere = |target: &&str| {
        let path = target.split('#').next().unwrap_or(target);
        !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:") && !folder.join(path).exists()
    };
    let broken = links(text).into_iter().filter(leads_nowhere);
    broken.map(|target| format!("{file}: the link to {target} leads nowhere")).collect()
}

/// The targets of `[text](target)` outside of code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        let after = line.split("](").skip(1);
        links.extend(after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target));
    }
    links
}

/// Pages of the book that its table of contents forgets.
fn summary(files: &[&str], root: &Path) -> Result<Vec<String>> {
    const SUMMARY: &str = "docs/SUMMARY.md";
    let pages = files.iter().filter(|file| file.starts_with("docs/") && file.ends_with(".md") && **file != SUMMARY);
    let pages: Vec<_> = pages.collect();
    if pages.is_empty() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(root.join(SUMMARY)).context(SUMMARY)?;
    let listed: Vec<PathBuf> = links(&text).into_iter().map(|link| Path::new("docs").join(link)).collect();
    let forgotten = pages.into_iter().filter(|page| !listed.contains(&PathBuf::from(**page)));
    Ok(forgotten.map(|page| format!("{SUMMARY}: does not list {page}")).collect())
}
