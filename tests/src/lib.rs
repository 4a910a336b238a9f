//! Harness of the program-run and namespace tests, and of the demo.
//!
//! Three speeds: pure tests are in this crate's modules; program-run tests push frames through the loaded programs with
//! `BPF_PROG_TEST_RUN` ([`progrun`]); namespace tests send real traffic through real devices ([`topology`],
//! [`traffic`], [`inject`]). The last two need root and the agent's binary ([`agent`]).
//!
//! The harness panics where it cannot do what it is told, and says which command failed: a test has no use for an
//! error it would only unwrap. What it makes, it removes on drop, also while a panic unwinds.
//!
//! | module | is |
//! |---|---|
//! | [`nft`] | nftables rule sets |
//! | [`netns`] | network namespaces, and how to be in one |
//! | [`topology`] | a host with guests and an outside client |
//! | [`container`] | a Debian with a systemd of its own |
//! | [`packets`] | frames, also impossible ones |
//! | [`guide`] | the examples of the guide for operators |
//! | [`foreign`] | programs of somebody else |
//! | [`inject`] | sending frames and seeing what comes out |
//! | [`tun`] | the guest's end of a tap |
//! | [`port`] | a filtered port of every kind, on a bridge |
//! | [`traffic`] | real sockets |
//! | [`agent`] | the `sg-agent` binary and its JSON |
//! | [`daemon`] | `sg-agent run`, and who listens to it |
//! | [`oracle`] | what the policy says, rule by rule |
//! | [`model`] | what the specification says happens, packet by packet |
//! | [`random`] | policies and packets from a seed |
//! | [`sequence`] | sequences of packets, clock steps and policies |
//! | [`replay`] | captures through the loaded programs and the model |
//! | [`progrun`] | frames through the loaded programs |
//! | [`counters`] | what the dataplane counts, before and after a packet |
//! | [`life`] | a connection's life, packet by packet, through the loaded programs |
//! | [`monitor`] | a running `sg-agent monitor` |
//! | [`tables`] | what the policy tables hold, byte by byte |
//! | [`held`] | an agent that stays, in this process |
//! | [`clock`] | the dataplane's clock, moved |
//! | [`interrupt`] | Ctrl-C, so that nothing stays behind |
//! | [`wire`] | packets through a host to a guest and back |
//! | [`twin`] | sg beside Linux's own firewall |
//! | [`dashboard`] | the dashboard of the examples as a picture |
//! | [`svg`] | pictures |
//! | [`soak`] | a long time with the daemon, under everything at once |
//! | [`mod@bench`] | how fast the loaded programs are |

pub mod agent;
pub mod bench;
pub mod clock;
pub mod container;
pub mod counters;
pub mod daemon;
pub mod dashboard;
pub mod foreign;
pub mod guide;
pub mod held;
pub mod inject;
pub mod interrupt;
pub mod life;
pub mod model;
pub mod monitor;
pub mod netns;
pub mod nft;
pub mod oracle;
pub mod packets;
pub mod port;
pub mod progrun;
pub mod prometheus;
pub mod random;
pub mod replay;
pub mod sequence;
pub mod served;
pub mod soak;
pub mod svg;
pub mod tables;
pub mod topology;
pub mod traffic;
pub mod tun;
pub mod twin;
pub mod wire;
