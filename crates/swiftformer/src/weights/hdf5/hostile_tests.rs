//! Damaged and hostile files: an error or a sane value, never a panic, a hang or memory out of proportion.

use std::io::Write;

use super::filters;
use super::tests::{testdata, written};
use super::{Attribute, Attributes, Hdf5Error, Hdf5File, read};
use crate::tensor::RawTensor;

const END_OF_FILE: usize = 40;
const ROOT_HEADER: usize = 64;

/// A file with one dataset in one group, as our writer makes it: superblock 0, symbol tables.
fn small() -> Vec<u8> {
    let mut file = Hdf5File::default();
    file.tensors.insert("group/weight".to_owned(), RawTensor::from_f32([2, 3], &[1.0; 6]).unwrap());
    let names = Attribute::Strings(vec!["weight".to_owned()]);
    file.groups.insert("group".to_owned(), Attributes::from([("weight_names".to_owned(), names)]));
    written(&file)
}

fn samples() -> Vec<Vec<u8>> {
    let variants = ["latest.h5", "chunked.h5", "big_endian.h5"];
    variants.iter().map(|name| testdata(&format!("hdf5_variants/{name}"))).chain([small()]).collect()
}

/// Start of the `nth` place (from 0) where `pattern` stands.
fn find(bytes: &[u8], pattern: &[u8], nth: usize) -> usize {
    bytes.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern).nth(nth).unwrap().0
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The error with its causes.
fn error(bytes: Vec<u8>) -> String {
    let error = read(bytes.into()).unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for sample in samples() {
        for length in 0..sample.len() {
            assert!(read(sample[..length].to_vec().into()).is_err(), "{length} of {}", sample.len());
        }
    }
    let model = testdata("tf_tiny/tf_model.h5");
    for length in (0..model.len()).step_by(9973) {
        assert!(read(model[..length].to_vec().into()).is_err(), "{length} of {}", model.len());
    }
}

#[test]
fn a_cut_file_that_lies_about_its_end_never_panics() {
    let model = testdata("tf_tiny/tf_model.h5");
    for length in (100..model.len()).step_by(1999) {
        let mut cut = model[..length].to_vec();
        put(&mut cut, END_OF_FILE, &(length as u64).to_le_bytes());
        assert!(read(cut.into()).is_err(), "{length} of {}", model.len());
    }
}

#[test]
fn any_changed_byte_gives_an_error_or_tensors_that_fit_the_file() {
    for sample in samples() {
        // Views and copies take at most a file each, but deflated chunks may hold 16 times as much.
        let limit = 20 * sample.len() + (128 << 10);
        for position in 0..sample.len() {
            for value in [0, 0xff, sample[position].wrapping_add(1), sample[position] ^ 0x80] {
                let mut changed = sample.clone();
                changed[position] = value;
                if let Ok(file) = read(changed.into()) {
                    let total: usize = file.tensors.values().map(|tensor| tensor.bytes().len()).sum();
                    assert!(total <= limit, "byte {position} = {value}: {total} bytes");
                }
            }
        }
    }
}

#[test]
fn other_files_are_not_hdf5() {
    for bytes in [&b""[..], b"\x89HDF", b"PK\x03\x04", &[0; 5000]] {
        assert!(matches!(read(bytes.to_vec().into()), Err(Hdf5Error::NotHdf5)));
    }
}

#[test]
fn a_tree_that_points_at_itself_is_an_error() {
    let mut file = small();
    let tree = find(&file, b"TREE", 0);
    file[tree + 5] = 1;
    put(&mut file, tree + 32, &(tree as u64).to_le_bytes());
    assert!(error(file).contains("a node of level 1 where Some(0) belongs"));
}

#[test]
fn trees_that_share_all_children_end_at_a_limit() {
    let mut file = small();
    let leaf = find(&file, b"TREE", 0);
    let mut below = leaf as u64;
    for level in 1..40 {
        let node = file.len() as u64;
        file.extend(*b"TREE\0");
        file.push(level);
        file.extend(32u16.to_le_bytes());
        file.extend([0xff; 16]);
        for _ in 0..32 {
            file.extend([[0; 8], below.to_le_bytes()].concat());
        }
        below = node;
    }
    // The leaf's group now starts at the top of these 32^39 paths.
    let reference = find(&file, &(leaf as u64).to_le_bytes(), 0);
    put(&mut file, reference, &below.to_le_bytes());
    let message = find(&file, &[0x11, 0, 16, 0, 0, 0, 0, 0], 0);
    put(&mut file, message + 8, &below.to_le_bytes());
    let error = error(file);
    assert!(error.contains("the file asks for too much"), "{error}");
}

#[test]
fn a_group_inside_itself_is_an_error() {
    let mut file = small();
    let root = get_u64(&file, ROOT_HEADER);
    let entry = find(&file, b"SNOD", 0) + 8;
    put(&mut file, entry + 8, &root.to_le_bytes());
    assert!(error(file).contains("an object with two links to it, or a group inside itself"));
}

#[test]
fn a_header_that_continues_in_itself_is_an_error() {
    let mut file = small();
    let root = get_u64(&file, ROOT_HEADER) as usize;
    // The symbol table message becomes a continuation (type 0x10) that leads to its own block.
    put(&mut file, root + 16, &[0x10, 0]);
    put(&mut file, root + 24, &(root as u64 + 16).to_le_bytes());
    put(&mut file, root + 32, &24u64.to_le_bytes());
    assert!(error(file).contains("a continuation that leads back"));
}

#[test]
fn counts_past_the_end_are_errors() {
    let mut file = small();
    let node = find(&file, b"SNOD", 0);
    put(&mut file, node + 6, &u16::MAX.to_le_bytes());
    assert!(read(file.into()).is_err());

    let mut file = small();
    let heap = find(&file, b"GCOL", 0);
    put(&mut file, heap + 8, &u64::MAX.to_le_bytes());
    assert!(error(file).contains("global heap at offset"));
}

#[test]
fn a_shape_larger_than_the_values_is_an_error_that_names_the_dataset() {
    for side in [3u64, 1 << 40, u64::MAX] {
        let mut file = small();
        let shape = find(&file, &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], 0);
        put(&mut file, shape, &side.to_le_bytes());
        assert!(error(file).starts_with("in `group/weight`: "), "{side}");
    }
}

#[test]
fn huge_datasets_that_were_never_written_end_at_a_limit() {
    // (3, 2) values of F32 without storage become (2^28, 2), twice 1 GiB.
    let mut file = testdata("hdf5_variants/chunked.h5");
    let shape = find(&file, &[3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], 0);
    put(&mut file, shape, &(1u64 << 28).to_le_bytes());
    let layout = find(&file, &[&[3, 1][..], &[0xff; 8], &24u64.to_le_bytes()].concat(), 0);
    put(&mut file, layout + 10, &(1u64 << 31).to_le_bytes());
    let error = error(file);
    assert!(error.starts_with("in `never_written`: the file asks for too much: copied values in bytes"), "{error}");
}

#[test]
fn huge_chunked_datasets_end_at_a_limit() {
    let mut file = testdata("hdf5_variants/chunked.h5");
    let shape = find(&file, &[50, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], 0);
    put(&mut file, shape, &(1u64 << 28).to_le_bytes());
    let error = error(file);
    assert!(error.starts_with("in `gzip_shuffle`: the file asks for too much: filtered values in bytes"), "{error}");
}

#[test]
fn deflate_stops_one_byte_behind_the_chunk() {
    let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 10 << 20]).unwrap();
    assert_eq!(filters::inflate(&bomb.finish().unwrap(), 100).unwrap().len(), 101);
}

#[test]
fn many_strings_in_one_heap_object_end_at_a_limit() {
    let long = "x".repeat(60_000);
    let strings: Vec<String> = std::iter::once(long).chain((0..3000).map(|index| format!("{index:08}"))).collect();
    let root = Attributes::from([("list".to_owned(), Attribute::Strings(strings))]);
    let mut file = written(&Hdf5File { groups: [(String::new(), root)].into_iter().collect(), ..Hdf5File::default() });
    let heap = find(&file, b"GCOL", 0) as u64;
    let first = [&60_000u32.to_le_bytes()[..], &heap.to_le_bytes(), &1u32.to_le_bytes()].concat();
    let start = find(&file, &first, 0);
    for index in 1..=3000 {
        put(&mut file, start + 16 * index, &first);
    }
    let error = error(file);
    assert!(error.contains("names, paths and attributes in bytes"), "{error}");
}

#[test]
fn links_that_leave_the_file_are_unsupported_by_name() {
    let mut file = small();
    let entry = find(&file, b"SNOD", 0) + 8;
    put(&mut file, entry + 16, &2u32.to_le_bytes());
    assert!(error(file).starts_with("in `group`: unsupported: the soft link `weight`"));
}

#[test]
fn datasets_that_share_their_values_end_at_a_limit() {
    let mut file = Hdf5File::default();
    let mut add = |name: String, count: usize| {
        file.tensors.insert(name, RawTensor::from_f32([count], &vec![1.0; count]).unwrap());
    };
    add("large".to_owned(), 150_000);
    (0..5).for_each(|index| add(format!("small_{index}"), 1009));
    let mut file = written(&file);
    assert_eq!(read(file.clone().into()).unwrap().tensors.len(), 6);
    // A contiguous layout is an address and a size. Every small dataset becomes the large one under another name.
    let large_size = 600_000u64.to_le_bytes();
    let large_address = get_u64(&file, find(&file, &large_size, 0) - 8).to_le_bytes();
    for _ in 0..5 {
        let side = find(&file, &1009u64.to_le_bytes(), 0);
        put(&mut file, side, &150_000u64.to_le_bytes());
        let size = find(&file, &4036u64.to_le_bytes(), 0);
        put(&mut file, size, &large_size);
        put(&mut file, size - 8, &large_address);
    }
    let error = error(file);
    assert!(error.contains("the file asks for too much: values in bytes"), "{error}");
}
