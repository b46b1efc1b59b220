//! How a run ends, and the exit code that says so.

use std::process::ExitCode;

use crate::console::{self, ClosedPipe};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is done: 0.
    Done,
    /// Images failed, the others are done: 1.
    ImagesFailed,
    /// The model, the command line or an output is at fault: 2.
    Failed,
    /// Ctrl-C: 130, as shells report it.
    Interrupted,
}

impl Outcome {
    /// Turns an error into its outcome, after it was printed.
    pub fn of(result: anyhow::Result<Self>) -> Self {
        match result {
            Ok(outcome) => outcome,
            // Whoever reads has seen enough.
            Err(error) if error.is::<ClosedPipe>() => Self::Done,
            Err(error) => {
                console::error(&chain(&error));
                Self::Failed
            }
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::ImagesFailed => 1,
            Outcome::Failed => 2,
            Outcome::Interrupted => crate::interrupt::EXIT_CODE,
        })
    }
}

/// An error and its causes in one line, without those that the message before them already quotes.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
