//! What a line on the control socket says: `docs/control.md`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::{self, Answer, Served};

/// The version of requests and responses.
pub const VERSION: u32 = 1;

/// One line from a client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request<C = Served> {
    /// [`VERSION`].
    pub version: u32,
    /// The client's own number, which comes back with the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What is to be done.
    pub command: C,
}

/// As much of a request as is understood of every version.
#[derive(Debug, Default, Deserialize)]
pub struct Envelope {
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    id: Option<u64>,
}

/// One line to a client.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Response {
    /// [`VERSION`].
    pub version: u32,
    /// The request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Exit status of the command line: 0 done, 1 the input is wrong, 2 usage, 3 the environment is missing something,
    /// 4 refused.
    pub status: u8,
    /// The generation that a change has brought into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// What was asked for with `"json": true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// What was asked for without: text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Warnings, and the faults of a policy file: text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub messages: String,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl<'a> Request<&'a Served> {
    /// The request for `verb`.
    pub fn borrowed(verb: &'a Served) -> Self {
        Self { version: VERSION, id: None, command: verb }
    }
}

impl Request {
    /// Reads a line; the error is the response to it.
    pub fn parse(line: &[u8]) -> Result<Self, Response> {
        let envelope: Envelope = serde_json::from_slice(line).unwrap_or_default();
        let refuse = |error: String| Response::refusal(envelope.id, 2, error);
        match envelope.version {
            Some(VERSION) => {
                serde_json::from_slice(line).map_err(|error| refuse(format!("not a request: {error}")))
            }
            Some(other) => {
                Err(refuse(format!("version {other} is not known; this daemon speaks version {VERSION}")))
            }
            None => Err(refuse(format!(
                "not a request: one JSON object with `version`: {VERSION} and `command` a line"
            ))),
        }
    }
}

impl Response {
    /// Says what came of a request.
    pub fn new(id: Option<u64>, done: anyhow::Result<Answer>) -> Self {
        match done {
            Ok(answer) => Self::of_answer(id, answer),
            Err(error) => Self::refusal(id, cli::exit_code(&error), format!("{error:#}")),
        }
    }

    /// Says why nothing was done.
    pub fn refusal(id: Option<u64>, status: u8, error: String) -> Self {
        Self { version: VERSION, id, status, error: Some(error), ..Self::default() }
    }

    fn of_answer(id: Option<u64>, answer: Answer) -> Self {
        let Answer { output, is_json, messages, status, generation } = answer;
        let response = Self { version: VERSION, id, status, generation, messages, ..Self::default() };
        if !is_json {
            return Self { output, ..response };
        }
        match RawValue::from_string(output) {
            Ok(result) => Self { result: Some(result), ..response },
            Err(error) => Self::refusal(id, 3, error.to_string()),
        }
    }

    /// What the command line makes of it.
    pub fn into_answer(self) -> Answer {
        let mut messages = self.messages;
        if let Some(error) = self.error {
            messages += &format!("sg-agent: {error}\n");
        }
        let (output, is_json) = match self.result {
            Some(result) => (Box::<str>::from(result).into_string() + "\n", true),
            None => (self.output, false),
        };
        Answer { output, is_json, messages, status: self.status, generation: self.generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> String {
        let response = Request::parse(line.as_bytes()).unwrap_err();
        assert_eq!(response.status, 2);
        response.error.unwrap()
    }

    #[test]
    fn a_request_is_a_verb_with_its_options() {
        let line = r#"{"version": 1, "id": 7, "command": {"attach": {"interface": "tap0", "groups": ["web"],
            "addresses": ["10.0.0.5"], "mac": "52:54:00:12:34:56"}}}"#;
        let request = Request::parse(line.as_bytes()).unwrap();
        assert_eq!(request.id, Some(7));
        let back = serde_json::to_value(&request.command).unwrap();
        assert_eq!(back["attach"]["role"], "guest");
        assert_eq!(back["attach"]["mac"], "52:54:00:12:34:56");
        for command in [
            r#"{"confirm": {}}"#,
            r#"{"status": {"json": true}}"#,
            r#"{"rules": {"unused": "30d"}}"#,
            r#"{"conntrack": {"list": {"protocol": "tcp", "address": "10.0.0.0/8"}}}"#,
            r#"{"apply": {"file": "/etc/sg/policy.yaml", "confirm_within": "60s"}}"#,
            r#"{"explain": {"interface": "t", "direction": "ingress", "protocol": "tcp", "remote": "10.0.0.1"}}"#,
        ] {
            let line = format!(r#"{{"version": 1, "command": {command}}}"#);
            let request = Request::parse(line.as_bytes());
            assert!(request.is_ok(), "{command}: {request:?}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_told_why() {
        assert!(fault("").contains("`version`"));
        assert!(fault("\"x\"").contains("`version`"));
        assert!(fault(r#"{"version": 2, "command": {}}"#).contains("version 2 is not known"));
        assert!(fault(r#"{"version": 1, "command": {"detatch": {}}}"#).contains("detatch"));
        assert!(
            fault(r#"{"version": 1, "command": {"detach": {"interface": "a", "x": 1}}}"#).contains("`x`")
        );
        let line = r#"{"version": 1, "command": {"apply": {"file": "a", "confirm_within": "0s"}}}"#;
        assert!(fault(line).contains("from `1s` to `1d`"));
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let json =
            Answer::json_line(r#"{"b":1,"a":[2]}"#.to_owned()).with_messages("careful\n").of_generation(4);
        let text = Answer { status: 4, ..Answer::text("no\n") };
        for answer in [json, text] {
            let line = serde_json::to_string(&Response::new(Some(1), Ok(answer.clone()))).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Response>(&line).unwrap().into_answer(), answer);
        }
    }
}
