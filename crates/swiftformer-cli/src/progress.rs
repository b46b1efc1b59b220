//! Progress bars on stderr: only on a terminal, and only for work that takes more than about a second.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work shorter than this needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bar on the screen, which gives way to lines of text.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Runs `print` while no bar is on the screen.
pub fn suspended<R>(print: impl FnOnce() -> R) -> R {
    let bar = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// A bar that shows itself once its work turns out to be long.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    wanted: bool,
}

impl Progress {
    /// A bar over `total` images. None is shown where their results scroll by on the same terminal.
    pub fn images(total: usize, results_to_stdout: bool) -> Self {
        let style = "{bar:30} {pos}/{len} images, {eta} left";
        let scrolls = results_to_stdout && io::stdout().is_terminal();
        Self::new(total as u64, style, total > 1 && !scrolls)
    }

    /// A bar over the bytes of a download.
    pub fn download(file: &str, total: u64) -> Self {
        let progress = Self::new(total, "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left", true);
        progress.bar.set_message(file.to_owned());
        progress
    }

    /// A bar over the batches of an epoch, with a text behind it.
    #[cfg(feature = "train")]
    pub fn training() -> Self {
        Self::new(1, "{bar:20} {pos}/{len} {msg}", true)
    }

    /// `done` of `total` batches are done, and `text` says how well.
    #[cfg(feature = "train")]
    pub fn set_training(&mut self, done: usize, total: usize, text: String) {
        self.bar.set_length(total as u64);
        self.bar.set_message(text);
        self.set(done as u64);
    }

    fn new(total: u64, style: &str, wanted: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), wanted: wanted && io::stderr().is_terminal() }
    }

    /// `done` of the total are done.
    pub fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.wanted && self.started.elapsed() > PATIENCE {
            self.wanted = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.bar.clone());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A bar for each file that [`Downloads::report`] hears of in turn.
#[derive(Default)]
pub struct Downloads(Option<(String, Progress)>);

impl Downloads {
    /// `done` of `total` bytes of `file` are there.
    pub fn report(&mut self, file: &str, done: u64, total: u64) {
        if self.0.as_ref().is_none_or(|(name, _)| name != file) {
            // The old bar goes before the new one comes.
            self.0 = None;
            self.0 = Some((file.to_owned(), Progress::download(file, total)));
        }
        if let Some((_, progress)) = &mut self.0 {
            progress.set(done);
        }
    }
}
