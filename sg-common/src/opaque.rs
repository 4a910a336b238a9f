//! Keeping the compiler from knowing what the verifier does not.

/// The same value, of which the compiler knows nothing.
#[inline(always)]
pub fn opaque(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // An instruction, if an idle one: without any, two lines of source have the same place in the program
        // ("Invalid line_info[29].insn_off:84").
        // SAFETY: copies a register onto itself.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}
