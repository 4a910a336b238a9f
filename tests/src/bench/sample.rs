//! Taking turns.

use anyhow::Result;

use crate::interrupt;

/// Times every contender once per round, `rounds` times after a round that does not count; the samples of each.
///
/// Each round starts with another contender, so that none always runs on what the same neighbour left in the caches.
pub fn rounds<C, S>(
    rounds: usize,
    contenders: &[C],
    mut time: impl FnMut(&C) -> Result<S>,
) -> Result<Vec<Vec<S>>> {
    let mut samples: Vec<Vec<S>> = contenders.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for contender in contenders {
        time(contender)?;
    }
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            interrupt::check()?;
            samples[at].push(time(&contenders[at])?);
        }
    }
    Ok(samples)
}

/// Round by round, what `samples` took longer than `floor`.
pub fn above(samples: &[f64], floor: &[f64]) -> Vec<f64> {
    samples.iter().zip(floor).map(|(sample, floor)| sample - floor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_has_a_sample_of_every_round() {
        let mut turns = Vec::new();
        let samples = rounds(2, &[1.0, 2.0], |contender| {
            turns.push(*contender);
            Ok(*contender)
        });
        assert_eq!(samples.expect("samples"), [[1.0, 1.0], [2.0, 2.0]]);
        assert_eq!(turns, [1.0, 2.0, 1.0, 2.0, 2.0, 1.0]);
    }
}
