//! Making a failing sequence small.

use super::Sequence;

/// Drops steps for as long as the sequence still fails; at most `tries` times. The policy at the beginning stays.
pub fn shrink(sequence: Sequence, tries: usize, mut fails: impl FnMut(&Sequence) -> bool) -> Sequence {
    let steps = shrink_list(sequence.steps, 1, tries, |fewer| fails(&Sequence { steps: fewer.to_vec() }));
    Sequence { steps }
}

/// Drops items, but not the first `kept`, for as long as the list still fails; at most `tries` times.
pub fn shrink_list<T: Clone>(
    mut items: Vec<T>,
    kept: usize,
    mut tries: usize,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut size = (items.len() / 2).max(1);
    loop {
        let mut dropped = false;
        let mut end = items.len();
        // From the end, for what comes before an item often made it possible.
        while end > kept && tries > 0 {
            let start = end.saturating_sub(size).max(kept);
            let mut fewer = items.clone();
            fewer.drain(start..end);
            tries -= 1;
            if fails(&fewer) {
                items = fewer;
                dropped = true;
            }
            end = start.min(items.len());
        }
        if tries == 0 || size == 1 && !dropped {
            return items;
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
