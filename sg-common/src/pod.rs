//! `aya::Pod` for every type that travels through a map.

macro_rules! pod {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: `repr(C)` integers and byte arrays without padding (zerocopy's `IntoBytes`), valid for every bit
            // pattern (`FromBytes`).
            unsafe impl aya::Pod for $type {}
        )*
    };
}

pod!(
    crate::conntrack::Entry<crate::conntrack::Key4>,
    crate::conntrack::Entry<crate::conntrack::Key6>,
    crate::conntrack::TableUse,
    crate::conntrack::Tags,
    crate::control::Control,
    crate::control::Settings,
    crate::events::Audience,
    crate::events::Told,
    crate::heap::Line,
    crate::interface::Interface,
    crate::members::MemberKey,
    crate::members::Member,
    crate::probe::ProbeReply,
    crate::stats::InterfaceStats,
    crate::stats::RuleCounter,
);
