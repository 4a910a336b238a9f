//! What came of a replay.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use sg_agent::policy::model::Role;

use super::Capture;
use crate::{
    model::read::{Frame, Place, read},
    progrun::Verdict,
    sequence::{Step, Timed},
};

/// So many differences of a file are shown, with so many bytes of the frame.
const SHOWN: usize = 3;
const SHOWN_BYTES: usize = 96;

/// What came of a capture, over all policies, roles and hooks.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The file.
    pub name: String,
    /// Frames of the capture that take part.
    pub frames: usize,
    /// Packets that were skipped: why, and how many.
    pub skipped: Vec<(String, usize)>,
    /// Why the file could not be read, or not to its end.
    pub broken: Option<String>,
    /// Verdicts.
    pub judged: usize,
    /// Those that let a frame pass.
    pub allowed: usize,
    /// The others, by reason.
    pub dropped: BTreeMap<&'static str, usize>,
    /// Where the programs and the model differ.
    pub differences: Vec<String>,
    numbers: Vec<usize>,
}

impl Tally {
    /// Reads a capture. One that is none is told in the tally.
    pub fn open(path: &Path) -> (Self, Capture) {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (capture, unreadable) = match Capture::open(path) {
            Ok(capture) => (capture, None),
            Err(error) => (Capture::default(), Some(format!("{error:#}"))),
        };
        let of_type = |(link, count): (&i32, &usize)| (format!("link type {link}"), *count);
        let mut skipped: Vec<(String, usize)> = capture.skipped.iter().map(of_type).collect();
        if capture.too_long > 0 {
            skipped.push(("too long".to_owned(), capture.too_long));
        }
        let tally = Self {
            name,
            frames: capture.frames.len(),
            skipped,
            broken: unreadable.or_else(|| capture.broken.clone()),
            numbers: capture.frames.iter().map(|frame| frame.number).collect(),
            ..Self::default()
        };
        (tally, capture)
    }

    /// Adds the outcomes of a replay at `place`.
    pub fn add(&mut self, place: &str, frames: &[Timed<'_>], outcomes: Vec<Result<Verdict, String>>) {
        for ((outcome, frame), number) in outcomes.into_iter().zip(frames).zip(&self.numbers) {
            self.judged += 1;
            match outcome {
                Ok(Verdict::Pass(_)) => self.allowed += 1,
                Ok(Verdict::Drop(reason)) => *self.dropped.entry(reason.name()).or_default() += 1,
                Err(difference) => {
                    let Timed { time, direction, bytes } = frame;
                    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
                    self.differences.push(format!(
                        "packet {number} ({place}, {direction:?}, {time:.3?}): {difference}\n    {}\n    {} bytes: {shown:02x?}",
                        decoded(frame),
                        bytes.len()
                    ));
                }
            }
        }
    }

    fn skipped(&self) -> usize {
        self.skipped.iter().map(|(_, count)| count).sum()
    }

    fn lines(&self) -> String {
        let mut text = row(self);
        if let Some(why) = &self.broken {
            let _ = writeln!(text, "    not read to its end: {why}");
        }
        for difference in self.differences.iter().take(SHOWN) {
            let _ = writeln!(text, "  {difference}");
        }
        text
    }
}

/// The frame as the model reads it on a host NIC.
fn decoded(frame: &Timed<'_>) -> String {
    let place = Place { interface: "host0", role: Role::Host, direction: frame.direction };
    match read(frame.bytes, place) {
        Ok(Frame::Ip { packet, .. }) => Step::Packet(packet).to_string(),
        other => format!("{other:?}"),
    }
}

fn row(tally: &Tally) -> String {
    let dropped: Vec<String> =
        tally.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let (frames, skipped, judged, allowed) = (tally.frames, tally.skipped(), tally.judged, tally.allowed);
    let differences = tally.differences.len();
    let dropped = dropped.join(", ");
    format!(
        "{:<50} {frames:>7} {skipped:>7} {judged:>8} {allowed:>8} {differences:>6}  {dropped}\n",
        tally.name
    )
}

/// A row for each capture, one for all, and what was skipped.
pub fn table(tallies: &[Tally]) -> String {
    let mut text = format!(
        "{:<50} {:>7} {:>7} {:>8} {:>8} {:>6}  dropped\n",
        "capture", "packets", "skipped", "verdicts", "allowed", "differ"
    );
    let mut all = Tally { name: format!("{} captures", tallies.len()), ..Tally::default() };
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for tally in tallies {
        text += &tally.lines();
        all.frames += tally.frames;
        all.judged += tally.judged;
        all.allowed += tally.allowed;
        all.differences.extend(tally.differences.iter().cloned());
        tally.dropped.iter().for_each(|(reason, count)| *all.dropped.entry(reason).or_default() += count);
        tally.skipped.iter().for_each(|(why, count)| *skipped.entry(why).or_default() += count);
        all.skipped.extend(tally.skipped.iter().cloned());
    }
    text += &row(&all);
    let skipped: Vec<String> = skipped.iter().map(|(why, count)| format!("{why} {count}")).collect();
    if !skipped.is_empty() {
        let _ = writeln!(text, "skipped: {}", skipped.join(", "));
    }
    text
}
