use std::io::{Cursor, Write};

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};
use bytes::Bytes;

use super::*;

/// A zip archive of stored entries.
fn archive(entries: &[(&str, &[u8])]) -> Bytes {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner().into()
}

/// The pickle of `{"w": tensor}` over storage "0"; `shape` and `strides` are instructions.
fn one_tensor(class: &str, count: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storage".to_vec();
    pickle.extend_from_slice(format!("ctorch\n{class}\n").as_bytes());
    pickle.extend_from_slice(b"U\x010U\x03cpu");
    pickle.extend_from_slice(&[b'K', count]);
    pickle.extend_from_slice(b"tQ");
    pickle.extend_from_slice(&[b'K', offset]);
    pickle.extend_from_slice(shape);
    pickle.extend_from_slice(strides);
    pickle.extend_from_slice(b"\x89}tRs.");
    pickle
}

/// Reads the one tensor over a storage of the bytes 0, 1, 2 ….
fn read_one(pickle: &[u8], bytes: usize) -> Result<crate::tensor::RawTensor, TorchError> {
    let storage: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
    let file = archive(&[("a/data.pkl", pickle), ("a/data/0", &storage)]);
    let state_dict = Checkpoint::read_zip(&file)?.state_dict(None)?;
    Ok(state_dict.tensors["w"].clone())
}

#[test]
fn strided_views_are_copied_into_row_major_order() {
    type Case<'a> = (&'a [u8], &'a [u8], u8, &'a [u8]);
    let cases: [Case; 6] = [
        (b"K\x02K\x03\x86", b"K\x01K\x02\x86", 0, &[0, 2, 4, 1, 3, 5]), // transposed
        (b"K\x02K\x02\x86", b"K\x03K\x01\x86", 1, &[1, 2, 4, 5]),       // a slice
        (b"K\x03\x85", b"K\x02\x85", 0, &[0, 2, 4]),                    // every second
        (b"K\x03\x85", b"K\x00\x85", 5, &[5, 5, 5]),                    // expanded
        (b"K\x02K\x01K\x02\x87", b"K\x02K\x09K\x01\x87", 2, &[2, 3, 4, 5]), // a side of one has any stride
        (b")", b")", 4, &[4]),                                          // a scalar
    ];
    for (shape, strides, offset, expected) in cases {
        let tensor = read_one(&one_tensor("ByteStorage", 6, offset, shape, strides), 6).unwrap();
        assert_eq!(tensor.bytes()[..], *expected);
    }
}

#[test]
fn layouts_that_do_not_fit_their_storage_are_errors() {
    let outside = "the view reaches outside its storage";
    let cases: [(&[u8], &[u8], u8, &str); 9] = [
        (b"K\x07\x85", b"K\x01\x85", 0, outside),
        (b"K\x06\x85", b"K\x01\x85", 1, outside),
        (b"K\x02\x85", b"K\x06\x85", 0, outside),
        (b"K\x02\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", 0, outside),
        (b"K\x02K\x03\x86", b"K\x01\x85", 0, "shape and strides differ in length"),
        (b"J\xff\xff\xff\xff\x85", b"K\x01\x85", 0, "the shape is not up to 64 whole numbers"),
        (b"K\x02\x85", b"J\xff\xff\xff\xff\x85", 0, "the strides are not whole numbers"),
        (b"G\0\0\0\0\0\0\0\0\x85", b"K\x01\x85", 0, "the shape is not up to 64 whole numbers"),
        (b"\x8a\x08\0\0\0\0\0\0\0\x01\x8a\x08\0\0\0\0\0\0\0\x01\x86", b"K\x00K\x00\x86", 0, "the shape is too large"),
    ];
    for (shape, strides, offset, expected) in cases {
        match read_one(&one_tensor("ByteStorage", 6, offset, shape, strides), 6).unwrap_err() {
            TorchError::Layout { tensor, what } => assert_eq!((&*tensor, what), ("w", expected)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stride_of_zero_cannot_fill_the_memory() {
    let shape = b"J\0\0\0\x40\x85"; // 2^30
    let error = read_one(&one_tensor("ByteStorage", 6, 0, shape, b"K\x00\x85"), 6).unwrap_err();
    assert!(matches!(error, TorchError::CopyLimit { needed: 0x4000_0000, .. }), "{error:?}");
}

#[test]
fn storages_must_be_there_and_as_long_as_they_say() {
    let pickle = one_tensor("FloatStorage", 2, 0, b"K\x02\x85", b"K\x01\x85");
    assert_eq!(read_one(&pickle, 8).unwrap().shape(), [2]);
    for bytes in [0, 7, 12] {
        let error = read_one(&pickle, bytes).unwrap_err();
        assert!(matches!(error, TorchError::StorageSize { expected: 2, found, .. } if found == bytes), "{error:?}");
    }
    let file = archive(&[("a/data.pkl", &pickle)]);
    let error = Checkpoint::read_zip(&file).unwrap().state_dict(None).unwrap_err();
    assert!(matches!(error, TorchError::MissingStorage { ref key, .. } if key == "0"), "{error:?}");
}

#[test]
fn an_unsupported_type_is_named_with_its_tensor() {
    let error = read_one(&one_tensor("ShortStorage", 2, 0, b"K\x02\x85", b"K\x01\x85"), 4).unwrap_err();
    assert_eq!(error.to_string(), "tensor w holds int16, which is not supported");
}

#[test]
fn other_archives_and_byte_orders_are_told_apart() {
    let pickle = one_tensor("ByteStorage", 1, 0, b")", b")");
    let read = |entries: &[(&str, &[u8])]| Checkpoint::read_zip(&archive(entries)).map(drop);
    assert!(matches!(read(&[]), Err(TorchError::NotTorch)));
    assert!(matches!(read(&[("word/document.xml", b"<x/>")]), Err(TorchError::NotTorch)));
    assert!(matches!(read(&[("a/b/data.pkl", &pickle)]), Err(TorchError::NotTorch)));
    assert!(matches!(read(&[("a/data.pkl", &pickle), ("a/constants.pkl", b"")]), Err(TorchError::TorchScript)));
    assert!(matches!(read(&[("data.pkl", &pickle), ("data/0", b"x")]), Ok(())));
    assert!(matches!(read(&[("a/data.pkl", &pickle), ("a/byteorder", b"big")]), Err(TorchError::BigEndian)));
    assert!(matches!(read(&[("a/data.pkl", &pickle), ("a/byteorder", b"middle")]), Err(TorchError::ByteOrder)));
    assert!(matches!(read(&[("a/data.pkl", &pickle), ("a/byteorder", b"little")]), Ok(())));
    assert!(matches!(read(&[("a/data.pkl", b"]")]), Err(TorchError::Pickle { part: "data.pkl", .. })));
    assert!(matches!(Checkpoint::read_zip(&Bytes::from_static(b"PK\x03\x04")), Err(TorchError::Zip(_))));
}

/// The archive with some bytes of its first central directory entry changed.
fn with_directory_bytes(file: &Bytes, offset: usize, bytes: &[u8]) -> Bytes {
    let mut file = file.to_vec();
    let start = file.windows(4).position(|window| window == b"PK\x01\x02").unwrap() + offset;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    file.into()
}

#[test]
fn archive_entries_with_lying_sizes_or_compression_are_refused() {
    let file = archive(&[("a/data.pkl", &one_tensor("ByteStorage", 1, 0, b")", b")"))]);
    assert!(Checkpoint::read_zip(&with_directory_bytes(&file, 0, b"PK\x01\x02")).is_ok());
    let (compressed, whole) = (20, 24);
    for size in [0u32, 1_000_000] {
        let error = Checkpoint::read_zip(&with_directory_bytes(&file, whole, &size.to_le_bytes())).unwrap_err();
        assert!(matches!(error, TorchError::EntrySize { .. } | TorchError::Zip(_)), "{error:?}");
    }
    let both: Vec<u8> = [1_000_000u32.to_le_bytes(), 1_000_000u32.to_le_bytes()].concat();
    let error = Checkpoint::read_zip(&with_directory_bytes(&file, compressed, &both)).unwrap_err();
    assert!(matches!(error, TorchError::EntrySize { claimed: 1_000_000, .. } | TorchError::Zip(_)), "{error:?}");
    // Method 8 is deflate.
    let error = Checkpoint::read_zip(&with_directory_bytes(&file, 10, &[8, 0])).unwrap_err();
    assert!(matches!(error, TorchError::CompressedEntry { ref entry } if entry == "a/data.pkl"), "{error:?}");
}

const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const VERSION: &[u8] = b"\x80\x02M\xe9\x03.";
const SYSTEM: &[u8] = b"\x80\x02}U\x0dlittle_endian\x88s.";
const KEYS: &[u8] = b"\x80\x02]U\x010a.";

fn legacy(parts: &[&[u8]]) -> Result<Checkpoint, TorchError> {
    Checkpoint::read_legacy(&parts.concat().into())
}

#[test]
fn every_part_of_a_legacy_file_is_checked() {
    let pickle = &one_tensor("FloatStorage", 1, 0, b")", b")")[..];
    let storage = b"\x01\0\0\0\0\0\0\0\0\0\x80\x3f";
    let whole = legacy(&[MAGIC, VERSION, SYSTEM, pickle, KEYS, storage]).unwrap();
    assert_eq!(whole.state_dict(None).unwrap().tensors["w"].to_f32(), [1.0]);

    let part = |checkpoint| match checkpoint {
        Err(TorchError::LegacyHeader { part, .. }) => part,
        other => panic!("{other:?}"),
    };
    assert_eq!(part(legacy(&[VERSION, VERSION, SYSTEM, pickle, KEYS, storage])), "magic number");
    assert_eq!(part(legacy(&[MAGIC, b"K\x01.", SYSTEM, pickle, KEYS, storage])), "protocol version");
    assert_eq!(part(legacy(&[MAGIC, VERSION, b"}.", pickle, KEYS, storage])), "system's description");
    assert_eq!(part(legacy(&[MAGIC, VERSION, SYSTEM, pickle, b"N.", storage])), "list of storages");
    assert_eq!(part(legacy(&[MAGIC, VERSION, SYSTEM, pickle, b"]K\x01a.", storage])), "list of storages");

    let big = b"}U\x0dlittle_endian\x89s.";
    assert!(matches!(legacy(&[MAGIC, VERSION, big, pickle, KEYS, storage]), Err(TorchError::BigEndian)));
    let other = b"]U\x019a.";
    assert!(
        matches!(legacy(&[MAGIC, VERSION, SYSTEM, pickle, other]), Err(TorchError::UnknownStorage { key }) if key == "9")
    );
    for cut in 0..storage.len() {
        let error = legacy(&[MAGIC, VERSION, SYSTEM, pickle, KEYS, &storage[..cut]]).unwrap_err();
        assert!(matches!(error, TorchError::TruncatedStorage { .. }), "{error:?}");
    }
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff";
    let error = legacy(&[MAGIC, VERSION, SYSTEM, pickle, KEYS, huge]).unwrap_err();
    assert!(matches!(error, TorchError::TruncatedStorage { needed: u64::MAX, .. }), "{error:?}");
    let system = legacy(&[MAGIC, VERSION, b"cos\nsystem\n(U\x02lstR.", pickle, KEYS, storage]).unwrap_err();
    let TorchError::Pickle { source, .. } = system else { panic!("{system:?}") };
    assert_eq!(
        source.to_string(),
        "the pickle refers to os.system at byte 0, which is not on the list of plain data types"
    );
}

/// `{key: {"w": tensor}}` for each key; a key of nothing puts the tensor at the top.
fn keyed(keys: &[&str]) -> Checkpoint {
    let flat = one_tensor("ByteStorage", 1, 0, b")", b")");
    let entry = &flat[3..flat.len() - 2]; // the tensor's name and value
    let mut pickle = b"\x80\x02}(".to_vec();
    for key in keys {
        if !key.is_empty() {
            pickle.extend_from_slice(&[b'U', key.len() as u8]);
            pickle.extend_from_slice(key.as_bytes());
            pickle.push(b'}');
        }
        pickle.extend_from_slice(entry);
        if !key.is_empty() {
            pickle.push(b's');
        }
    }
    pickle.extend_from_slice(b"u.");
    Checkpoint::read_zip(&archive(&[("a/data.pkl", &pickle), ("a/data/0", b"x")])).unwrap()
}

#[test]
fn the_state_dict_is_found_in_the_documented_order() {
    let selected = |keys: &[&str]| keyed(keys).state_dict(None).map(|found| found.key);
    assert_eq!(selected(&["", "state_dict", "model_ema", "model"]).unwrap().as_deref(), Some("model"));
    assert_eq!(selected(&["", "state_dict", "model_ema"]).unwrap().as_deref(), Some("state_dict"));
    assert_eq!(selected(&["model_ema", ""]).unwrap(), None);
    assert_eq!(selected(&["model_ema"]).unwrap().as_deref(), Some("model_ema"));
    match selected(&["model_ema", "teacher"]).unwrap_err() {
        TorchError::NoStateDict { asked: None, available } => assert_eq!(available, ["model_ema", "teacher"]),
        other => panic!("{other:?}"),
    }
    let asked = keyed(&["model", "model_ema"]).state_dict(Some("model_ema")).unwrap();
    assert_eq!(asked.key.as_deref(), Some("model_ema"));
}

#[test]
fn a_tensor_under_a_key_that_is_no_string_is_an_error() {
    let mut pickle = one_tensor("ByteStorage", 1, 0, b")", b")");
    pickle.splice(3..6, *b"K\x01");
    let error = read_one(&pickle, 1).unwrap_err();
    assert!(matches!(error, TorchError::TensorKey { found: "an int" }), "{error:?}");
}

/// The pickle of one tensor whose call is wrapped: `before` and `after` stand around it.
fn wrapped(before: &[u8], after: &[u8]) -> Vec<u8> {
    let mut pickle = one_tensor("ByteStorage", 2, 0, b"K\x02\x85", b"K\x01\x85");
    let call = pickle.windows(7).position(|window| window == b"ctorch.").unwrap();
    pickle.splice(call..call, before.iter().copied());
    let end = pickle.len() - 2;
    pickle.splice(end..end, after.iter().copied());
    pickle
}

#[test]
fn parameters_give_the_tensor_in_them() {
    let function = |name: &str| format!("ctorch._utils\n{name}\n(").into_bytes();
    for (name, rest) in [("_rebuild_parameter", &b"\x89}tR"[..]), ("_rebuild_parameter_with_state", b"\x89}}tR")] {
        assert_eq!(read_one(&wrapped(&function(name), rest), 2).unwrap().bytes()[..], [0, 1], "{name}");
    }
    let error = read_one(b"\x80\x02}U\x01wctorch._utils\n_rebuild_parameter\n(K\x01\x89}tRs.", 2).unwrap_err();
    assert!(matches!(error, TorchError::Pickle { .. }), "{error:?}");
}

#[test]
fn tensors_of_a_subclass_give_the_tensor_in_them() {
    let mut pickle = one_tensor("ByteStorage", 2, 0, b"K\x02\x85", b"K\x01\x85");
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let start = pickle.windows(function.len()).position(|window| window == function).unwrap();
    let outer = b"ctorch._tensor\n_rebuild_from_type_v2\n(";
    // (function, type, arguments, state)
    pickle.splice(start + function.len()..start + function.len(), *b"ctorch.nn.parameter\nParameter\n");
    pickle.splice(start..start, *outer);
    let end = pickle.len() - 3;
    assert_eq!(&pickle[end..], b"Rs.");
    pickle.splice(end..end, *b"}t");
    assert_eq!(read_one(&pickle, 2).unwrap().bytes()[..], [0, 1]);
}

#[test]
fn untyped_storages_take_their_type_from_the_call() {
    let mut pickle = one_tensor("UntypedStorage", 4, 0, b"K\x02\x85", b"K\x01\x85");
    let at = pickle.windows(2).position(|window| window == b"v2").unwrap();
    pickle[at + 1] = b'3';
    let end = pickle.len() - 4;
    assert_eq!(&pickle[end..], b"tRs.");
    pickle.splice(end..end, *b"ctorch\nfloat16\n");
    let tensor = read_one(&pickle, 4).unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (crate::tensor::DType::F16, &[2][..]));
    let end = pickle.len() - 4;
    pickle.splice(end..end, *b"}U\x04conj\x88s");
    assert!(matches!(read_one(&pickle, 4).unwrap_err(), TorchError::Pickle { .. }));
}

#[test]
fn a_legacy_storage_may_be_a_view_of_another() {
    // ("storage", type, key, location, count, (view's key, first element, elements))
    let mut pickle = one_tensor("ByteStorage", 6, 1, b"K\x02\x85", b"K\x01\x85");
    let end = pickle.windows(2).position(|window| window == b"tQ").unwrap();
    pickle.splice(end..end, *b"U\x01vK\x02K\x03\x87");
    let storage = b"\x06\0\0\0\0\0\0\0abcdef";
    let whole = legacy(&[MAGIC, VERSION, SYSTEM, &pickle, KEYS, storage]).unwrap();
    assert_eq!(whole.state_dict(None).unwrap().tensors["w"].bytes()[..], *b"de");
    // The view has three elements; the tensor's two would end behind it.
    let offset = pickle.windows(3).position(|window| window == b"QK\x01").unwrap() + 2;
    pickle[offset] = 2;
    let outside = legacy(&[MAGIC, VERSION, SYSTEM, &pickle, KEYS, storage]).unwrap().state_dict(None).unwrap_err();
    assert!(matches!(outside, TorchError::Layout { .. }), "{outside:?}");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let tensors = [("w".to_owned(), crate::tensor::RawTensor::from_i64_scalar(1))].into_iter().collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no_such_folder/model.pth");
    let error = write_file(&path, &tensors, &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, TorchError::Write(_)), "{error:?}");
}
