//! How close the kernels come to the ceiling of this machine's arithmetic, for the layers of SwiftFormer-XS and L3.
//!
//! `cargo run --release -p swiftformer-kernels --example peak [avx512|avx2|…] [bf16]`
//!
//! Every line times the ceiling right beside the kernel, since clocks drift, and gives the best of several runs.

use std::time::Instant;

use swiftformer_kernels::{
    Activation, AlignedBuffer, Conv2d, Conv2dShape, Depthwise3x3, Epilogue, ImageShape, IsaKind, Kernels, Mlp,
    MlpInput, PackedMatrix, Precision, Residual, Rows, RowsMut, SubnormalsAsZero,
};

const REPEATS: usize = 15;

/// Seconds of the fastest of some runs.
fn best(mut work: impl FnMut()) -> f64 {
    let once = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..REPEATS).map(|_| once(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Prints GFLOP/s of `work`, which does `multiply_adds`, beside the ceiling.
fn report(kernels: Kernels, what: &str, multiply_adds: usize, work: impl FnMut()) {
    let operations = 2 * multiply_adds as u64;
    let mut spent = 0;
    let ceiling_seconds = best(|| spent = kernels.spend_operations(operations.max(20_000_000)));
    let ceiling = spent as f64 / ceiling_seconds / 1e9;
    let seconds = best(work);
    let speed = operations as f64 / seconds / 1e9;
    println!(
        "{what:<44} {:8.1} µs {speed:7.1} of {ceiling:6.1} GFLOP/s  {:3.0} %",
        seconds * 1e6,
        100.0 * speed / ceiling
    );
}

fn filled(len: usize) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::zeros(len);
    for (index, value) in buffer.iter_mut().enumerate() {
        *value = (index % 17) as f32 / 17.0 - 0.5;
    }
    buffer
}

fn main() {
    // As while a plan runs: GELU's parts become subnormal on the way to zero.
    let _mode = SubnormalsAsZero::new();
    let wanted = std::env::args().nth(1);
    let kernels = match wanted {
        Some(name) => IsaKind::ALL.iter().copied().find(|kind| kind.name() == name).and_then(Kernels::with),
        None => Some(Kernels::detect()),
    };
    let Some(kernels) = kernels else {
        eprintln!("no such instruction set here; there are {:?}", Kernels::available());
        std::process::exit(1);
    };
    let precision = match std::env::args().nth(2).as_deref() {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let kernels = kernels.with_precision(precision);
    println!("{kernels:?}, one thread, best of {REPEATS}");

    for (model, dims) in [("XS", [48, 56, 112, 220]), ("L3", [64, 128, 320, 512])] {
        for (stage, dim) in dims.into_iter().enumerate() {
            let side = 56 >> stage;
            let tokens = side * side;
            let hidden = 4 * dim;
            let first = PackedMatrix::pack(kernels, &filled(dim * hidden), None, dim, hidden);
            let second = PackedMatrix::pack(kernels, &filled(dim * hidden), None, hidden, dim);
            let input = filled(tokens * dim);
            let mut wide = filled(tokens * hidden);
            let mut output = filled(tokens * dim);
            let mut scratch = AlignedBuffer::zeros(first.pointwise_scratch_len(tokens));
            let layer = format!("{model} stage {} ({tokens} × {dim})", stage + 1);

            report(kernels, &format!("{layer}: pointwise to {hidden}"), tokens * dim * hidden, || {
                let target = RowsMut::new(&mut wide, tokens, hidden);
                kernels.pointwise(&first, Rows::new(&input, tokens, dim), target, Epilogue::default(), &mut scratch);
            });
            for activation in [Activation::Identity, Activation::Gelu] {
                let mlp = Mlp { first: &first, activation, second: &second };
                let mut scratch = AlignedBuffer::zeros(mlp.scratch_len(tokens));
                report(kernels, &format!("{layer}: MLP, {activation:?}"), 2 * tokens * dim * hidden, || {
                    let target = RowsMut::new(&mut output, tokens, dim);
                    kernels.mlp(
                        mlp,
                        MlpInput::Rows(Rows::new(&input, tokens, dim)),
                        target,
                        Residual::None,
                        &mut scratch,
                    );
                });
            }
            let depthwise = Depthwise3x3::pack(&filled(dim * 9), None, dim);
            let shape = ImageShape { height: side, width: side, channels: dim };
            report(kernels, &format!("{layer}: depthwise 3×3"), tokens * dim * 9, || {
                kernels.depthwise3x3(&depthwise, &input, shape, 0..tokens, &mut output);
            });
        }
    }
    for (channels, outputs, side) in [(3, 24, 224), (24, 48, 112), (48, 56, 56), (56, 112, 28), (112, 220, 14)] {
        let image = ImageShape { height: side, width: side, channels };
        let shape = Conv2dShape { input: image, kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
        let weight = filled(9 * channels * outputs);
        let matrix = PackedMatrix::pack_conv2d(kernels, &weight, None, [outputs, channels, 3, 3]);
        let epilogue = Epilogue { activation: Activation::Relu, accumulate: false };
        let conv = Conv2d { shape, matrix: &matrix, epilogue };
        let input = filled(image.len());
        let result = shape.output(outputs);
        let mut output = filled(result.len());
        let mut scratch = AlignedBuffer::zeros(shape.scratch_len(&matrix));
        let what = format!("conv 3×3 s2, {channels} → {outputs} at {side}²");
        report(kernels, &what, result.len() * 9 * channels, || {
            kernels.conv2d(conv, &input, 0..result.height, &mut output, &mut scratch);
        });
    }
}
