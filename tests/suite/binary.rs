//! The artefact of `make build`: static, PIE, hardened and small.

use crate::support;
use goblin::elf::{Elf, dynamic, header, program_header};

/// What it may grow to, in bytes.
const MAX_SIZE: usize = 220 * 1024;

#[test]
fn static_pie_with_relro_and_no_larger_than_its_bound() {
    let Some(path) = support::static_binary("the artefact's form and size") else { return };
    let bytes = std::fs::read(path).unwrap();
    println!("size: {} bytes", bytes.len());
    assert!(bytes.len() <= MAX_SIZE, "{} bytes", bytes.len());
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.header.e_type, header::ET_DYN, "no PIE");
    assert_eq!(elf.interpreter, None, "it asks for an interpreter");
    assert_eq!(elf.libraries, [""; 0], "it is not static");
    let of_type = |kind| elf.program_headers.iter().find(|segment| segment.p_type == kind);
    assert!(of_type(program_header::PT_GNU_RELRO).is_some(), "no RELRO");
    assert!(!of_type(program_header::PT_GNU_STACK).unwrap().is_executable(), "executable stack");
    for segment in elf.program_headers.iter().filter(|s| s.p_type == program_header::PT_LOAD) {
        assert!(!(segment.is_write() && segment.is_executable()), "{segment:?}");
    }
    let dynamic = elf.dynamic.as_ref().unwrap();
    let flags = |tag| dynamic.dyns.iter().find(|d| d.d_tag == tag).map_or(0, |d| d.d_val);
    assert_ne!(flags(dynamic::DT_FLAGS) & dynamic::DF_BIND_NOW, 0, "RELRO is not full");
    assert_ne!(flags(dynamic::DT_FLAGS_1) & dynamic::DF_1_PIE, 0, "no PIE");
    assert_eq!(flags(dynamic::DT_TEXTREL), 0, "text relocations");
    assert!(elf.syms.is_empty(), "it is not stripped");
}
