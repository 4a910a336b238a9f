//! `sg-agent run`: keeps the policy in force while the host changes.

pub mod devices;
