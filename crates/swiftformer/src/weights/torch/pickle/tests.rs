use super::*;

fn read(bytes: &[u8]) -> Result<Pickle, PickleError> {
    parse(&bytes.to_vec().into()).map(|(pickle, _)| pickle)
}

fn ints(pickle: &Pickle, value: &Value) -> Vec<i64> {
    let (Value::List(items) | Value::Tuple(items) | Value::Set(items)) = value else {
        panic!("{}", value.type_name());
    };
    let int = |&id| match pickle.get(id) {
        Value::Int(number) => *number,
        other => panic!("{}", other.type_name()),
    };
    items.iter().map(int).collect()
}

#[test]
fn every_scalar_instruction_gives_its_value() {
    let whole: [(&[u8], i64); 11] = [
        (b"I-17\n.", -17),
        (b"L123L\n.", 123),
        (b"J\xfe\xff\xff\xff.", -2),
        (b"K\xff.", 255),
        (b"M\x00\x01.", 256),
        (b"\x8a\x00.", 0),
        (b"\x8a\x01\xff.", -1),
        (b"\x8a\x02\xff\x00.", 255),
        (b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", i64::MIN),
        (b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\x00.", i64::MAX),
        (b"\x8b\x03\x00\x00\x00\x01\x02\x03.", 0x030201),
    ];
    for (bytes, expected) in whole {
        assert!(matches!(read(bytes).unwrap().root(), Value::Int(number) if *number == expected), "{bytes:?}");
    }
    for (bytes, expected) in [(&b"G\x3f\xf8\0\0\0\0\0\0."[..], 1.5), (b"F-2.5e3\n.", -2500.0)] {
        assert!(matches!(read(bytes).unwrap().root(), Value::Float(number) if *number == expected), "{bytes:?}");
    }
    for (bytes, expected) in [(&b"\x88."[..], true), (b"\x89.", false), (b"I01\n.", true), (b"I00\n.", false)] {
        assert!(matches!(read(bytes).unwrap().root(), Value::Bool(found) if *found == expected), "{bytes:?}");
    }
    assert!(matches!(read(b"N.").unwrap().root(), Value::None));
}

#[test]
fn an_int_of_more_than_64_bits_keeps_its_bytes() {
    let magic = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    for bytes in [&b"L119547037146038801333356L\n."[..], b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."] {
        assert!(matches!(read(bytes).unwrap().root(), Value::LongInt(found) if **found == magic), "{bytes:?}");
    }
}

#[test]
fn every_string_instruction_gives_its_text() {
    let texts: [(&[u8], &str); 8] = [
        (b"X\x03\0\0\0\xe2\x82\xac.", "\u{20ac}"),
        (b"\x8c\x02hi.", "hi"),
        (b"\x8d\x02\0\0\0\0\0\0\0hi.", "hi"),
        (b"V\\u20ac \xe9\n.", "\u{20ac} \u{e9}"),
        (b"V\\U0001f600\n.", "\u{1f600}"),
        (b"S'it\\'s\\x41\\n'\n.", "it'sA\n"),
        (b"U\x02hi.", "hi"),
        (b"T\x02\0\0\0hi.", "hi"),
    ];
    for (bytes, expected) in texts {
        let pickle = read(bytes).unwrap();
        assert_eq!(pickle.text(pickle.root), Some(expected), "{bytes:?}");
    }
    for bytes in
        [&b"C\x02\xff\xfe."[..], b"B\x02\0\0\0\xff\xfe.", b"\x8e\x02\0\0\0\0\0\0\0\xff\xfe.", b"U\x02\xff\xfe."]
    {
        assert!(matches!(read(bytes).unwrap().root(), Value::Bytes(found) if found[..] == [255, 254]), "{bytes:?}");
    }
}

#[test]
fn every_container_instruction_gives_its_items() {
    let containers: [(&[u8], &[i64]); 12] = [
        (b"(K\x01K\x02l.", &[1, 2]),
        (b"(K\x01K\x02t.", &[1, 2]),
        (b").", &[]),
        (b"K\x01\x85.", &[1]),
        (b"K\x01K\x02\x86.", &[1, 2]),
        (b"K\x01K\x02K\x03\x87.", &[1, 2, 3]),
        (b"]K\x01a(K\x02K\x03e.", &[1, 2, 3]),
        (b"\x8f(K\x01K\x02\x90.", &[1, 2]),
        (b"(K\x01K\x02\x91.", &[1, 2]),
        (b"K\x012\x86.", &[1, 1]),
        (b"K\x01K\x020\x85.", &[1]),
        (b"K\x01(K\x02K\x031\x85.", &[1]),
    ];
    for (bytes, expected) in containers {
        let pickle = read(bytes).unwrap();
        assert_eq!(ints(&pickle, pickle.root()), expected, "{bytes:?}");
    }
    let dicts: [&[u8]; 3] =
        [b"(X\x01\0\0\0aK\x01d.", b"}X\x01\0\0\0aK\x01s.", b"}(X\x01\0\0\0aK\x07X\x01\0\0\0aK\x01u."];
    for bytes in dicts {
        let pickle = read(bytes).unwrap();
        assert!(matches!(pickle.lookup(pickle.root(), "a"), Some(Value::Int(1))), "{bytes:?}");
    }
}

#[test]
fn memo_instructions_share_one_value() {
    let shared: [&[u8]; 4] = [
        b"]p0\n(g0\nK\x01e\x85.",
        b"]q\x05(h\x05h\x05e0h\x05\x85.",
        b"]r\x05\0\0\0j\x05\0\0\0\x86.",
        b"\x80\x04\x95\x00\0\0\0\0\0\0\0]\x94h\x00\x86.",
    ];
    for bytes in shared {
        let pickle = read(bytes).unwrap();
        let Value::Tuple(items) = pickle.root() else { panic!() };
        assert!(items.iter().all(|id| *id == items[0]), "{bytes:?}");
    }
}

#[test]
fn a_namespace_keeps_its_state_in_every_protocol() {
    let forms: [&[u8]; 4] = [
        b"ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR(dS'lr'\nK\x01sb.",
        b"\x80\x02cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb.",
        b"\x80\x04\x8c\x08argparse\x8c\x09Namespace\x93)}\x92}\x8c\x02lrK\x01sb.",
        b"(iargparse\nNamespace\n}X\x02\0\0\0lrK\x01sb.",
    ];
    for bytes in forms {
        let pickle = read(bytes).unwrap();
        let Value::Object(object) = pickle.root() else { panic!("{bytes:?}") };
        let state = pickle.get(object.state.unwrap());
        assert!(matches!(pickle.lookup(state, "lr"), Some(Value::Int(1))), "{bytes:?}");
    }
}

#[test]
fn constructors_of_containers_take_their_items() {
    let sequences: [&[u8]; 4] = [
        b"cbuiltins\nset\n(]K\x01a]K\x02a0tR.",
        b"c__builtin__\nlist\n(K\x01\x85tR.",
        b"ctorch\nSize\n(K\x01\x85tR.",
        b"(c__builtin__\nfrozenset\nK\x01\x85o.",
    ];
    for bytes in sequences {
        let pickle = read(bytes).unwrap();
        assert_eq!(ints(&pickle, pickle.root()), [1], "{bytes:?}");
    }
    let dicts: [&[u8]; 3] = [
        b"ccollections\nOrderedDict\n(]((X\x01\0\0\0aK\x01letR.",
        b"ccollections\nCounter\n(}X\x01\0\0\0aK\x01stR.",
        b"ccollections\ndefaultdict\n(cbuiltins\nlist\n}X\x01\0\0\0aK\x01stR.",
    ];
    for bytes in dicts {
        let pickle = read(bytes).unwrap();
        assert!(matches!(pickle.lookup(pickle.root(), "a"), Some(Value::Int(1))), "{bytes:?}");
    }
}

#[test]
fn a_forbidden_global_is_named() {
    let calls: [(&[u8], &str); 6] = [
        (b"cos\nsystem\n(X\x02\0\0\0lstR.", "os.system"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        (b"(S'ls'\nios\nsystem\n.", "os.system"),
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"c__builtin__\ngetattr\n.", "builtins.getattr"),
        (b"ctorch\nload\n.", "torch.load"),
    ];
    for (bytes, expected) in calls {
        match read(bytes) {
            // Python 2's `__builtin__` is named as it stands in the file.
            Err(PickleError::ForbiddenGlobal { name, .. }) => {
                assert_eq!(name.replace("__builtin__", "builtins"), expected);
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn malformed_pickles_give_their_own_errors() {
    use PickleError as E;
    type Check = fn(&PickleError) -> bool;
    let cases: [(&[u8], Check); 27] = [
        (b"", |e| matches!(e, E::Truncated { offset: 0, needed: 1 })),
        (b"]", |e| matches!(e, E::Truncated { offset: 1, .. })),
        (b"X\xff\xff\xff\xffabc", |e| matches!(e, E::Truncated { needed: 0xffff_ffff, .. })),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", |e| matches!(e, E::Truncated { .. })),
        (b"Iabc", |e| matches!(e, E::Truncated { .. })),
        (b"\xff", |e| matches!(e, E::UnknownOpcode { opcode: 0xff, offset: 0 })),
        (b"P1\n.", |e| matches!(e, E::UnsupportedOpcode { name: "PERSID", .. })),
        (b"\x82\x01.", |e| matches!(e, E::UnsupportedOpcode { name: "EXT1", .. })),
        (b"\x97.", |e| matches!(e, E::UnsupportedOpcode { name: "NEXT_BUFFER", .. })),
        (b"\x80\x06N.", |e| matches!(e, E::Protocol { version: 6 })),
        (b".", |e| matches!(e, E::EmptyStack { offset: 0 })),
        (b"K\x01(.", |e| matches!(e, E::EmptyStack { .. })),
        (b"K\x01\x86.", |e| matches!(e, E::EmptyStack { .. })),
        (b"(o.", |e| matches!(e, E::EmptyStack { .. })),
        (b"t.", |e| matches!(e, E::NoMark { .. })),
        (b"1.", |e| matches!(e, E::NoMark { .. })),
        (b"h\x03.", |e| matches!(e, E::NoMemo { index: 3, .. })),
        (b"Ix\n.", |e| matches!(e, E::Malformed { what: "an int", .. })),
        (b"X\x01\0\0\0\xff.", |e| matches!(e, E::Malformed { what: "a string", .. })),
        (b"S'open\n.", |e| matches!(e, E::Malformed { .. })),
        (b"V\\ud800\n.", |e| matches!(e, E::Malformed { .. })),
        (b"(K\x01d.", |e| matches!(e, E::Malformed { .. })),
        (b"g-1\n.", |e| matches!(e, E::Malformed { .. })),
        (b"K\x01K\x02a.", |e| matches!(e, E::WrongType { what: "APPEND", found: "an int", .. })),
        (b"K\x01)R.", |e| matches!(e, E::WrongType { what: "REDUCE", .. })),
        (b"K\x01}b.", |e| matches!(e, E::WrongType { what: "BUILD", .. })),
        (b"K\x01Q.", |e| matches!(e, E::WrongType { what: "a persistent id", .. })),
    ];
    for (bytes, check) in cases {
        let error = read(bytes).unwrap_err();
        assert!(check(&error), "{bytes:?}: {error:?}");
    }
}

#[test]
fn a_tensor_with_flags_that_change_its_values_is_an_error() {
    let tensor = |flags: &str| {
        let storage = "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ";
        read(format!("ctorch._utils\n_rebuild_tensor_v2\n({storage}K\0))NN{flags}tR.").as_bytes())
    };
    assert!(tensor("").is_ok() && tensor("}").is_ok());
    assert!(matches!(tensor("}U\x03negI01\ns"), Err(PickleError::Malformed { .. })));
}

#[test]
fn nesting_a_million_lists_deep_parses_and_drops() {
    let depth = 1_000_000;
    let mut bytes = vec![b']'; depth];
    bytes.extend(vec![b'a'; depth - 1]);
    bytes.push(b'.');
    assert!(matches!(read(&bytes).unwrap().root(), Value::List(items) if items.len() == 1));
}

#[test]
fn billion_laughs_stay_as_small_as_their_pickle() {
    // Each list holds the one before it ten times: 10^40 items if references were copies.
    let mut bytes = b"]q\0".to_vec();
    for level in 1..=40u8 {
        bytes.extend_from_slice(b"](");
        (0..10).for_each(|_| bytes.extend_from_slice(&[b'h', level - 1]));
        bytes.extend_from_slice(&[b'e', b'q', level]);
    }
    bytes.push(b'.');
    let pickle = read(&bytes).unwrap();
    assert_eq!(pickle.nodes.len(), 41);
}

#[test]
fn copying_one_list_again_and_again_meets_the_limit() {
    let mut bytes = b"(".to_vec();
    bytes.extend(vec![b'N'; 100_000]);
    bytes.extend_from_slice(b"l\x85q\0cbuiltins\nset\nq\x01");
    (0..1000).for_each(|_| bytes.extend_from_slice(b"h\x01h\x00R"));
    bytes.push(b'.');
    assert!(matches!(read(&bytes).unwrap_err(), PickleError::Limit { what: "references", .. }));
}

#[test]
fn too_many_values_marks_and_memo_entries_meet_their_limits() {
    let too_many = (2 << 20) + 1;
    for (unit, what) in
        [(&b"N"[..], "values"), (b"(", "marks"), (b"\x94", "memo entries"), (b"2", "values on the stack")]
    {
        let mut bytes = b"N".to_vec();
        bytes.extend(unit.repeat(too_many));
        match read(&bytes).unwrap_err() {
            PickleError::Limit { what: found, .. } => assert_eq!(found, what),
            other => panic!("{what}: {other:?}"),
        }
    }
}
