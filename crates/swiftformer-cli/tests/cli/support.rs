//! Runs the real program in the repository's `testdata`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use swiftformer::{
    tensor::{RawTensor, TensorMap},
    weights::{ReadOptions, read_file, safetensors},
};

/// What a run left behind.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Asserts the exit code.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that stderr holds every one of `parts`.
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in stderr:\n{}", self.stderr);
        }
        self
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// The lines of stdout as JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All of stdout as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// The program, about to run in `testdata` without network.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swiftformer"));
    command.args(arguments).current_dir(testdata("")).env("HF_HUB_OFFLINE", "1").env("HF_HOME", "no-such-cache");
    command
}

/// Runs the program.
pub fn swiftformer(arguments: &[&str]) -> Run {
    Run::of(command(arguments).output().unwrap())
}

/// Runs the program with `input` on stdin.
pub fn swiftformer_with(arguments: &[&str], input: &str) -> Run {
    let mut command = command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Run::of(child.wait_with_output().unwrap())
}

/// A path of the repository's `testdata`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// A folder for one test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Copies a file of `testdata`.
    pub fn copy(&self, from: &str, to: &str) -> String {
        let target = self.path(to);
        std::fs::create_dir_all(Path::new(&target).parent().unwrap()).unwrap();
        std::fs::copy(testdata(from), &target).unwrap();
        target
    }

    /// A copy of `hf_tiny` that takes images of 96x96, for which the photographs are large.
    pub fn model_of_small_images(&self) -> String {
        for file in ["config.json", "model.safetensors"] {
            self.copy(&format!("hf_tiny/{file}"), &format!("small/{file}"));
        }
        let config = std::fs::read_to_string(testdata("hf_tiny/preprocessor_config.json")).unwrap();
        self.write("small/preprocessor_config.json", config.replace("224", "96").as_bytes());
        self.path("small")
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let target = self.path(name);
        std::fs::create_dir_all(Path::new(&target).parent().unwrap()).unwrap();
        std::fs::write(&target, bytes).unwrap();
        target
    }

    /// Names of what lies in it, sorted.
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path().join(name)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The tensors of any weight file.
pub fn tensors(path: impl AsRef<Path>) -> TensorMap {
    read_file(path.as_ref(), &ReadOptions::default()).unwrap().tensors
}

/// Writes a file with the tensor `pixel_values`.
pub fn write_pixel_values(folder: &Folder, tensor: RawTensor) -> String {
    let path = folder.path("in.safetensors");
    safetensors::write_file(path.as_ref(), &TensorMap::from([("pixel_values".to_owned(), tensor)])).unwrap();
    path
}

/// Writes `timm_tiny`'s weights as a loose file, without the tensors whose names start with one of `prefixes`.
pub fn write_without(folder: &Folder, prefixes: &[&str]) -> String {
    let mut tensors = tensors(testdata("timm_tiny/model.safetensors"));
    tensors.retain(|name, _| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
    let path = folder.path("part.safetensors");
    safetensors::write_file(path.as_ref(), &tensors).unwrap();
    path
}
