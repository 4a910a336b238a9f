//! Whatever a client sends on the control socket, it is a request or is refused with words, on one line; a request says
//! the same when the command line writes it anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sg_agent::daemon::protocol::{Request, Response};
use sg_fuzz as _;

fuzz_target!(|line: &[u8]| {
    match Request::parse(line) {
        Ok(request) => is_stable(&request),
        Err(refusal) => is_in_words(&refusal),
    }
});

fn is_stable(request: &Request) {
    let written = serde_json::to_vec(&Request::borrowed(&request.command)).expect("a request is JSON");
    let read = Request::parse(&written).unwrap_or_else(|refusal| panic!("{:?}", refusal.error));
    let value = |request: &Request| serde_json::to_value(&request.command).expect("a request is JSON");
    assert_eq!(value(&read), value(request));
}

fn is_in_words(refusal: &Response) {
    assert_eq!(refusal.status, 2);
    let line = serde_json::to_string(refusal).expect("a response is JSON");
    assert!(!line.contains('\n'));
    let read: Response = serde_json::from_str(&line).expect("what was written");
    assert!(read.error.is_some_and(|error| !error.is_empty()), "refused without a word");
}
