//! Ctrl-C: the first one lets the work in hand finish and starts nothing new, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::partial;

/// What shells report for a program that Ctrl-C ended: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static GRACEFUL: AtomicBool = AtomicBool::new(false);

/// Catches Ctrl-C. Until [`finish_work_in_hand`] is called it ends the program at once: a download can be resumed.
pub fn install() -> anyhow::Result<()> {
    let handler = || {
        let again = REQUESTED.swap(true, Ordering::SeqCst);
        if again || !GRACEFUL.load(Ordering::SeqCst) {
            partial::remove_all();
            std::process::exit(EXIT_CODE.into());
        }
    };
    ctrlc::set_handler(handler).context("cannot catch Ctrl-C")
}

/// From here on, the first Ctrl-C only sets [`requested`], which the work has to look at.
pub fn finish_work_in_hand() {
    GRACEFUL.store(true, Ordering::SeqCst);
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
