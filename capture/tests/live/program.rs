//! An XDP program, for tests here and of `lowtide run`.

/// An object file as iproute2 takes it: one program that passes every frame on.
pub fn passes_all() -> Vec<u8> {
    // r0 = XDP_PASS; exit
    let program = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let license = b"GPL\0".to_vec();
    let names = b"\0.strtab\0.symtab\0xdp\0license\0pass\0".to_vec();
    let name = |of: &str| {
        let of = format!("\0{of}\0").into_bytes();
        u32::try_from(names.windows(of.len()).position(|window| window == of).unwrap() + 1).unwrap()
    };
    // Elf64_Sym: none, then a global function in section 2.
    let mut symbols = vec![0; 24];
    symbols.extend_from_slice(&name("pass").to_le_bytes());
    symbols.extend_from_slice(&[0x12, 0, 2, 0]);
    symbols.extend_from_slice(&0_u64.to_le_bytes());
    symbols.extend_from_slice(&16_u64.to_le_bytes());

    // Name, type, flags, link, info, entry size, content; in order of their numbers.
    let sections = [
        (0, 0_u32, 0_u64, 0_u32, 0_u32, 0_u64, Vec::new()),
        (name(".strtab"), 3, 0, 0, 0, 0, names.clone()),
        (name("xdp"), 1, 6, 0, 0, 0, program.to_vec()),
        (name("license"), 1, 3, 0, 0, 0, license),
        (name(".symtab"), 2, 0, 1, 1, 24, symbols),
    ];
    let mut content = Vec::new();
    let mut headers = Vec::new();
    for (name, kind, flags, link, info, entry, octets) in sections {
        content.resize(content.len().next_multiple_of(8), 0);
        headers.extend_from_slice(&name.to_le_bytes());
        headers.extend_from_slice(&kind.to_le_bytes());
        for field in [flags, 0, 64 + content.len() as u64, octets.len() as u64] {
            headers.extend_from_slice(&field.to_le_bytes());
        }
        headers.extend_from_slice(&link.to_le_bytes());
        headers.extend_from_slice(&info.to_le_bytes());
        headers.extend_from_slice(&8_u64.to_le_bytes());
        headers.extend_from_slice(&entry.to_le_bytes());
        content.extend_from_slice(&octets);
    }
    content.resize(content.len().next_multiple_of(8), 0);
    // Relocatable, for BPF, with section headers behind the content.
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [1_u16, 247] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1_u32.to_le_bytes());
    for field in [0, 0, 64 + content.len() as u64] {
        file.extend_from_slice(&field.to_le_bytes());
    }
    file.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 0, 0, 64, 5, 1] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&content);
    file.extend_from_slice(&headers);
    file
}
