//! The examples of `docs/policy.md`: what `check` is to say of each, and what becomes of the packets below it.

use std::{collections::BTreeSet, fs, path::Path};

/// The guide, as it was when the tests were built.
pub const GUIDE: &str = include_str!("../../docs/policy.md");

/// One example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Line of the guide on which its text begins.
    pub line: usize,
    /// A policy file.
    pub text: String,
    /// Codes of every finding that `check` has; `None` if the guide does not say.
    pub codes: Option<BTreeSet<String>>,
    /// Files beside it: name and content.
    pub files: Vec<(String, String)>,
    /// What becomes of packets.
    pub packets: Vec<Packet>,
}

/// A row of the table below an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Line of the guide.
    pub line: usize,
    /// The packet, as arguments of `explain`.
    pub question: String,
    /// `allow` or `deny`.
    pub verdict: String,
    /// `rule N of GROUP`, or the stage or reason.
    pub because: String,
}

impl Example {
    /// Writes the files beside the policy into `folder`.
    pub fn write_files(&self, folder: &Path) {
        for (name, content) in &self.files {
            fs::write(folder.join(name), content).expect("a temporary folder");
        }
    }
}

/// The examples in `text`.
///
/// # Panics
/// If a row cannot be read; says which.
pub fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut next = Example::default();
    let mut is_inside = false;
    for (line, content) in (1..).zip(text.lines()) {
        match content {
            "```yaml" => {
                is_inside = true;
                examples.push(Example { line: line + 1, ..std::mem::take(&mut next) });
            }
            _ if content.starts_with("```") => is_inside = false,
            _ if is_inside => {
                let example = examples.last_mut().expect("the fence made one");
                example.text += &format!("{content}\n");
            }
            _ => {
                mark(content, &mut next);
                if let (Some(packet), Some(last)) = (row(line, content), examples.last_mut()) {
                    last.packets.push(packet);
                }
            }
        }
    }
    examples
}

/// `<!-- check: CODE ... -->` and `<!-- file NAME: CONTENT -->` are about the next example.
fn mark(content: &str, next: &mut Example) {
    let Some(comment) = content.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
        return;
    };
    if let Some(codes) = comment.strip_prefix("check: ") {
        next.codes = Some(codes.split_whitespace().filter(|word| *word != "ok").map(str::to_owned).collect());
    } else if let Some((name, line)) = comment.strip_prefix("file ").and_then(|rest| rest.split_once(": ")) {
        next.files.push((name.to_owned(), format!("{line}\n")));
    }
}

/// ``| `in tap0: tcp/443 from 203.0.113.7` | allow | default |``
fn row(line: usize, content: &str) -> Option<Packet> {
    let cells: Vec<&str> = content.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
    let [packet, verdict @ ("allow" | "deny"), because] = cells.as_slice() else { return None };
    let packet = packet.trim_end_matches('`');
    let question = question(packet).unwrap_or_else(|| panic!("line {line}: {packet:?} is not a packet"));
    Some(Packet { line, question, verdict: (*verdict).to_owned(), because: (*because).to_owned() })
}

/// `in tap0: tcp/443 from 203.0.113.7`, `out tap0: gre to 192.0.2.1 as 10.0.0.9`
fn question(packet: &str) -> Option<String> {
    let (place, content) = packet.split_once(": ")?;
    let (direction, interface) = match place.split_once(' ')? {
        ("in", interface) => ("ingress", interface),
        ("out", interface) => ("egress", interface),
        _ => return None,
    };
    let words: Vec<&str> = content.split(' ').collect();
    let (service, remote, local) = match words.as_slice() {
        [service, "from" | "to", remote] => (*service, *remote, None),
        [service, "from" | "to", remote, "as", local] => (*service, *remote, Some(*local)),
        _ => return None,
    };
    let (protocol, number) = service.split_once('/').unwrap_or((service, ""));
    let option = if protocol.starts_with("icmp") { "--icmp-type" } else { "--port" };
    let mut question =
        format!("--interface {interface} --direction {direction} --protocol {protocol} --remote {remote}");
    if !number.is_empty() {
        question += &format!(" {option} {number}");
    }
    if let Some(local) = local {
        question += &format!(" --local {local}");
    }
    Some(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_have_their_marks_and_packets() {
        let text = "<!-- check: W-A E-B -->\n<!-- file f: 10.0.0.1 -->\n```yaml\nversion: 1\n```\n\n\
            | packet | verdict | because |\n|---|---|---|\n\
            | `out tap0: icmp/8 to 192.0.2.1 as 10.0.0.9` | deny | spoofed-address |\n\n```yaml\na: 1\n```\n";
        let found = examples(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].line, found[0].text.as_str()), (4, "version: 1\n"));
        assert_eq!(found[0].codes, Some(["E-B", "W-A"].map(str::to_owned).into()));
        assert_eq!(found[0].files, [("f".to_owned(), "10.0.0.1\n".to_owned())]);
        let [packet] = found[0].packets.as_slice() else { panic!("one packet") };
        assert_eq!(
            packet.question,
            "--interface tap0 --direction egress --protocol icmp --remote 192.0.2.1 --icmp-type 8 --local 10.0.0.9"
        );
        assert_eq!((packet.verdict.as_str(), packet.because.as_str()), ("deny", "spoofed-address"));
        assert_eq!(found[1].codes, None);
    }

    #[test]
    fn what_is_no_packet_is_no_question() {
        for text in ["tap0: tcp/1 from a", "up tap0: tcp/1 from a", "in tap0: tcp/1", "in tap0: tcp/1 via a"]
        {
            assert_eq!(question(text), None, "{text}");
        }
    }
}
