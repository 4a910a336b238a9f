//! The life word.

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Free,
    /// Somebody is writing it; nobody else may touch it.
    Claimed,
    /// An entry.
    Live,
}

/// State of a connection.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Only the opener has been seen; for TCP its SYN.
    OneWay,
    /// TCP: the other side has answered, the opener has not yet confirmed.
    SynReceived,
    /// TCP: handshake complete.
    Established,
    /// TCP: a FIN has been seen.
    FinWait,
    /// Any protocol but TCP and ICMP: both directions seen.
    TwoWay,
    /// An ICMP query.
    Query,
    /// A fragmented datagram whose first fragment passed.
    Fragments,
}

impl State {
    /// Every state, at the index of its number.
    pub const ALL: [Self; 7] = [
        Self::OneWay,
        Self::SynReceived,
        Self::Established,
        Self::FinWait,
        Self::TwoWay,
        Self::Query,
        Self::Fragments,
    ];

    /// The state with the low three bits of `number`.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number & 7 {
            0 => Self::OneWay,
            1 => Self::SynReceived,
            2 => Self::Established,
            3 => Self::FinWait,
            4 => Self::TwoWay,
            5 => Self::Query,
            _ => Self::Fragments,
        }
    }
}

/// Everything that decides about an entry, in one word:
///
/// | bits | meaning |
/// |---|---|
/// | 0..44 | tick at which it expires |
/// | 44..48 | [`State`] |
/// | 48 | opened by an egress packet |
/// | 49 | TCP: a RST has been seen and no traffic since |
/// | 50 | the other side has been seen |
/// | 52..62 | how often the slot has been claimed, so that a reused slot is noticed |
/// | 62..64 | [`Kind`] |
///
/// 44 bits of ticks are 557 years at 1000 Hz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life(pub u64);

const EXPIRES: u64 = (1 << 44) - 1;
const STATE: u32 = 44;
const EGRESS: u64 = 1 << 48;
const RESET: u64 = 1 << 49;
const ANSWERED: u64 = 1 << 50;
const CLAIMS: u64 = 0x3ff << 52;
const CLAIM: u64 = 1 << 52;
const KIND: u32 = 62;
const CLAIMED: u64 = 1 << KIND;
const LIVE: u64 = 2 << KIND;

impl Life {
    /// An entry in `state`, opened by an egress packet or not, in the slot that `claim` has claimed.
    #[inline(always)]
    pub const fn live(claim: Self, state: State, egress: bool, expires: u64) -> Self {
        let opener = if egress { EGRESS } else { 0 };
        Self(LIVE | (claim.0 & CLAIMS) | opener | (state as u64) << STATE | expires & EXPIRES)
    }

    /// The claim of this slot by a new owner.
    #[inline(always)]
    pub const fn claim(self) -> Self {
        Self(CLAIMED | (self.0.wrapping_add(CLAIM) & CLAIMS))
    }

    /// The slot with nothing in it.
    #[inline(always)]
    pub const fn free(self) -> Self {
        Self(self.0 & CLAIMS)
    }

    /// What the slot holds.
    #[inline(always)]
    pub const fn kind(self) -> Kind {
        match self.0 >> KIND {
            0 => Kind::Free,
            2 => Kind::Live,
            _ => Kind::Claimed,
        }
    }

    /// Whether it holds an entry that has not expired at `now`.
    #[inline(always)]
    pub const fn is_live_at(self, now: u64) -> bool {
        self.0 >> KIND == 2 && now < self.expires()
    }

    /// Tick at which it expires: from then on it is not there.
    #[inline(always)]
    pub const fn expires(self) -> u64 {
        self.0 & EXPIRES
    }

    /// The state of the connection.
    #[inline(always)]
    pub const fn state(self) -> State {
        State::from_number((self.0 >> STATE) as u8)
    }

    /// Whether an egress packet opened it.
    #[inline(always)]
    pub const fn opened_by_egress(self) -> bool {
        self.0 & EGRESS != 0
    }

    /// Whether a RST was the last that has been seen.
    #[inline(always)]
    pub const fn is_reset(self) -> bool {
        self.0 & RESET != 0
    }

    /// Whether the other side has been seen.
    #[inline(always)]
    pub const fn is_answered(self) -> bool {
        self.0 & ANSWERED != 0
    }

    /// The same slot and opener with another state, flags and expiry.
    #[inline(always)]
    pub const fn moved(self, state: State, reset: bool, answered: bool, expires: u64) -> Self {
        let keep = self.0 & !(EXPIRES | 0xf << STATE | RESET | ANSWERED);
        let reset = if reset { RESET } else { 0 };
        let answered = if answered { ANSWERED } else { 0 };
        Self(keep | (state as u64) << STATE | reset | answered | expires & EXPIRES)
    }

    /// State, reset and answered, where the word has them.
    #[inline(always)]
    pub(super) const fn phase(self) -> u64 {
        self.0 & (0xf << STATE | RESET | ANSWERED)
    }

    /// The same with another expiry.
    #[inline(always)]
    pub const fn until(self, expires: u64) -> Self {
        Self(self.0 & !EXPIRES | expires & EXPIRES)
    }

    /// The same but for the expiry.
    #[inline(always)]
    pub const fn same_but_expiry(self, other: Self) -> bool {
        (self.0 ^ other.0) & !EXPIRES == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch_each_other() {
        for state in State::ALL {
            for (reset, answered, egress) in
                [(false, false, true), (true, false, false), (false, true, true), (true, true, false)]
            {
                let claim = Life(0).claim().free().claim();
                let life = Life::live(claim, state, egress, 77).moved(state, reset, answered, EXPIRES);
                assert_eq!(life.kind(), Kind::Live);
                assert_eq!(life.state(), state);
                assert_eq!(life.expires(), EXPIRES);
                assert_eq!(
                    (life.is_reset(), life.is_answered(), life.opened_by_egress()),
                    (reset, answered, egress)
                );
                assert_eq!(life.claim().kind(), Kind::Claimed);
                assert_eq!(life.free().kind(), Kind::Free);
            }
        }
    }

    #[test]
    fn a_reused_slot_has_another_word() {
        let first = Life::live(Life(0).claim(), State::OneWay, false, 10);
        let second = Life::live(first.claim(), State::OneWay, false, 10);
        assert_ne!(first, second);
    }

    #[test]
    fn expiry_is_exact() {
        let life = Life::live(Life(0).claim(), State::OneWay, false, 10);
        assert!(life.is_live_at(9));
        assert!(!life.is_live_at(10));
        let longer = life.until(11);
        assert!(longer.is_live_at(10) && longer.same_but_expiry(life));
    }

    #[test]
    fn claims_wrap_without_reaching_the_kind() {
        let mut life = Life(0);
        for _ in 0..5000 {
            life = life.claim();
            assert_eq!(life.kind(), Kind::Claimed);
        }
    }
}
