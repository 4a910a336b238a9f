//! Making a failing sequence small.

use super::Sequence;

/// Drops steps for as long as the sequence still fails; at most `tries` times.
pub fn shrink(sequence: Sequence, mut tries: usize, mut fails: impl FnMut(&Sequence) -> bool) -> Sequence {
    let mut steps = sequence.steps;
    let mut size = (steps.len() / 2).max(1);
    loop {
        let mut dropped = false;
        let mut end = steps.len();
        // From the end, for what comes before a step often made it possible. The policy at the beginning stays.
        while end > 1 && tries > 0 {
            let start = end.saturating_sub(size).max(1);
            let mut fewer = steps.clone();
            fewer.drain(start..end);
            tries -= 1;
            if fails(&Sequence { steps: fewer.clone() }) {
                steps = fewer;
                dropped = true;
            }
            end = start.min(steps.len());
        }
        if tries == 0 || size == 1 && !dropped {
            return Sequence { steps };
        }
        size = (size / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sequence::Step;

    #[test]
    fn what_is_needed_to_fail_is_left() {
        let wait = |number| Step::Wait(Duration::from_millis(number));
        let steps: Vec<Step> = [Step::Policy(String::new())].into_iter().chain((0..100).map(wait)).collect();
        let fails =
            |sequence: &Sequence| [17, 80].iter().all(|number| sequence.steps.contains(&wait(*number)));
        let shrunk = shrink(Sequence { steps }, 1_000, fails);
        assert_eq!(shrunk.steps, [Step::Policy(String::new()), wait(17), wait(80)]);
    }
}
