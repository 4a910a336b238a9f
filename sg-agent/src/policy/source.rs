//! Reads policy and address files, and keeps their text for the diagnostics.
//!
//! A file is read only when it is a regular one of bounded size; opening never blocks, whatever the path names.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    code::Code,
    diagnostic::{Diagnostic, Span},
};

/// Largest file that is read.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// A file's place in [`Sources`]; 0 is the policy file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(u32);

/// A file with its text, where somebody else has read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Its name, as diagnostics show it; an address file's is looked for by it.
    pub name: String,
    /// What is in it.
    pub text: Arc<str>,
}

/// One file that was read.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: Arc<str>,
    /// Byte offset of each line's start.
    lines: Vec<usize>,
}

/// The files that a load has read, the policy file first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file; its text may follow with [`Sources::set_text`].
    pub fn add(&mut self, name: impl Into<String>) -> FileId {
        self.files.push(Source { name: name.into(), text: Arc::from(""), lines: vec![0] });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// Gives a file its text.
    pub fn set_text(&mut self, file: FileId, text: Arc<str>) {
        let Some(source) = self.files.get_mut(file.0 as usize) else { return };
        source.lines = line_starts(&text);
        source.text = text;
    }

    /// Every file, the policy file first.
    pub fn texts(&self) -> Vec<Text> {
        let text = |source: &Source| Text { name: source.name.clone(), text: source.text.clone() };
        self.files.iter().map(text).collect()
    }

    /// The name of a file as the user wrote it.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |source| source.name.as_str())
    }

    /// A line of a file without its line end; lines count from 1.
    pub fn line(&self, file: FileId, line: u32) -> Option<&str> {
        let source = self.files.get(file.0 as usize)?;
        let at = (line as usize).checked_sub(1)?;
        let start = *source.lines.get(at)?;
        let end = source.lines.get(at + 1).copied().unwrap_or(source.text.len());
        Some(source.text.get(start..end)?.trim_end_matches(['\n', '\r']))
    }
}

/// Where lines start: after LF, CR LF, or a CR of its own, as YAML has it.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends_line = |at: usize| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    std::iter::once(0).chain((0..bytes.len()).filter(|at| ends_line(*at)).map(|at| at + 1)).collect()
}

/// The text of the file at `path`, without a byte order mark; `sources` keeps it.
pub fn read(path: &Path, file: FileId, sources: &mut Sources) -> Result<Arc<str>, Diagnostic> {
    text(read_bytes(path, file)?, file, sources)
}

/// The same of standard input.
pub fn read_stdin(file: FileId, sources: &mut Sources) -> Result<Arc<str>, Diagnostic> {
    let name = Path::new("standard input");
    let mut bytes = Vec::new();
    let mut limited = io::stdin().lock().take(MAX_FILE_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(|e| cannot_read(name, &e.to_string(), file))?;
    match bytes.len() as u64 {
        0..=MAX_FILE_BYTES => text(bytes, file, sources),
        read => Err(too_large(name, read, file)),
    }
}

fn text(bytes: Vec<u8>, file: FileId, sources: &mut Sources) -> Result<Arc<str>, Diagnostic> {
    let (text, fault) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(e) => {
            let lossy = String::from_utf8_lossy(e.as_bytes()).into_owned();
            (lossy, Some(not_utf8(e.as_bytes(), e.utf8_error().valid_up_to(), file)))
        }
    };
    let text: Arc<str> = Arc::from(without_bom(&text));
    sources.set_text(file, text.clone());
    fault.map_or(Ok(text), Err)
}

/// `text` without its byte order mark.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn read_bytes(path: &Path, file: FileId) -> Result<Vec<u8>, Diagnostic> {
    let opened = open_regular(path).map_err(|why| cannot_read(path, &why, file))?;
    let before = opened.metadata().map_err(|e| cannot_read(path, &e.to_string(), file))?;
    if before.len() > MAX_FILE_BYTES {
        return Err(too_large(path, before.len(), file));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0) + 1);
    let mut limited = (&opened).take(MAX_FILE_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(|e| cannot_read(path, &e.to_string(), file))?;
    let read = bytes.len() as u64;
    if read > MAX_FILE_BYTES {
        return Err(too_large(path, read, file));
    }
    let after = opened.metadata().map_err(|e| cannot_read(path, &e.to_string(), file))?;
    if !is_whole(Stamp::of(&before), Stamp::of(&after), read) {
        let message = format!("`{}` changed while it was read", path.display());
        return Err(with_help(Code::FileChanged, file, message, "write a new file and rename it into place"));
    }
    Ok(bytes)
}

/// Size and time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { size: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// Whether `read` bytes are one state of a file. What the kernel makes up while it is read has size 0.
fn is_whole(before: Stamp, after: Stamp, read: u64) -> bool {
    before == after && (before.size == read || before.size == 0)
}

/// Opens without waiting: a FIFO without a writer would block a plain open for ever.
fn open_regular(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| open_error(path, &e))?;
    let kind = opened.metadata().map_err(|e| e.to_string())?.file_type();
    if kind.is_file() {
        return Ok(opened);
    }
    Err(if kind.is_dir() { "it is a directory".into() } else { "it is not a regular file".into() })
}

fn open_error(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => "it is a link to a file that does not exist".into(),
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ if error.raw_os_error() == Some(libc::ELOOP) => "its links form a circle".into(),
        _ if error.raw_os_error() == Some(libc::ENXIO) => "it is not a regular file".into(),
        _ => error.to_string(),
    }
}

/// The text of the file at `path` among those that somebody else has read.
pub fn find(
    given: &[Text],
    path: &Path,
    file: FileId,
    sources: &mut Sources,
) -> Result<Arc<str>, Diagnostic> {
    let name = path.display().to_string();
    let Some(found) = given.iter().find(|one| one.name == name) else {
        return Err(cannot_read(path, "it was not sent along", file));
    };
    let text: Arc<str> = Arc::from(without_bom(&found.text));
    sources.set_text(file, text.clone());
    Ok(text)
}

fn cannot_read(path: &Path, why: &str, file: FileId) -> Diagnostic {
    let message = format!("cannot read `{}`: {why}", path.display());
    with_help(Code::File, file, message, "name a regular file that this user may read")
}

fn too_large(path: &Path, size: u64, file: FileId) -> Diagnostic {
    let message = format!("`{}` has {size} bytes", path.display());
    with_help(Code::FileSize, file, message, format!("a file has at most {MAX_FILE_BYTES} bytes (64 MiB)"))
}

fn not_utf8(bytes: &[u8], at: usize, file: FileId) -> Diagnostic {
    let valid = String::from_utf8_lossy(&bytes[..at]);
    let starts = line_starts(&valid);
    let last = starts.last().copied().unwrap_or(0);
    let column = valid[last..].chars().count() as u32 + 1;
    let line = starts.len() as u32;
    let byte = bytes.get(at).copied().unwrap_or(0);
    let mut fault = Diagnostic::new(
        Code::Utf8,
        Span { file, line, column, end_column: column + 1 },
        format!("byte 0x{byte:02x} is not UTF-8"),
    );
    fault.help("save the file as UTF-8");
    fault
}

fn with_help(code: Code, file: FileId, message: String, help: impl Into<String>) -> Diagnostic {
    let mut fault = Diagnostic::new(code, Span::whole(file), message);
    fault.help(help);
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_meanwhile_is_not_whole() {
        let stamp = |size, second| Stamp { size, changed: (second, 0) };
        assert!(is_whole(stamp(5, 1), stamp(5, 1), 5));
        assert!(is_whole(stamp(0, 1), stamp(0, 1), 5), "as files of /proc are");
        for (before, after, read) in
            [(stamp(5, 1), stamp(5, 2), 5), (stamp(5, 1), stamp(9, 1), 9), (stamp(5, 1), stamp(5, 1), 3)]
        {
            assert!(!is_whole(before, after, read), "{before:?} {after:?} {read}");
        }
    }
}
