//! The two engines behind one face.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use rten::{ModelOptions, NodeId, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use tract_onnx::prelude::*;

use crate::Images;

type TractPlan = Arc<TypedRunnableModel>;

/// A model ready to run on its images.
pub enum Engine {
    Rten {
        model: Box<rten::Model>,
        input: NodeId,
        output: NodeId,
        options: RunOptions,
        images: rten_tensor::NdTensor<f32, 4>,
    },
    Tract {
        plan: TractPlan,
        images: TValue,
    },
}

impl Engine {
    /// Opens `model` with the engine of that name.
    pub fn open(name: &str, model: &Path, images: Images, threads: usize) -> anyhow::Result<Self> {
        match name {
            "rten" => Self::rten(model, images, threads).context("rten"),
            "tract" => Self::tract(model, images, threads).context("tract"),
            _ => bail!("no engine {name}"),
        }
    }

    fn rten(path: &Path, images: Images, threads: usize) -> anyhow::Result<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(path)?;
        let input = *model.input_ids().first().context("the model has no input")?;
        let output = *model.output_ids().first().context("the model has no output")?;
        let options = RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(threads))));
        let images = rten_tensor::NdTensor::from_data(images.shape, images.values);
        Ok(Self::Rten { model: Box::new(model), input, output, options, images })
    }

    fn tract(path: &Path, images: Images, threads: usize) -> anyhow::Result<Self> {
        if threads > 1 {
            tract_linalg::multithread::set_default_executor(tract_linalg::multithread::Executor::multithread(threads));
        }
        let fact = InferenceFact::dt_shape(f32::datum_type(), images.shape);
        let plan =
            tract_onnx::onnx().model_for_path(path)?.with_input_fact(0, fact)?.into_optimized()?.into_runnable()?;
        let images = Tensor::from_shape(&images.shape, &images.values)?;
        Ok(Self::Tract { plan, images: images.into_tvalue() })
    }

    /// The logits of all images, one image after the other.
    pub fn run(&mut self) -> anyhow::Result<Vec<f32>> {
        match self {
            Self::Rten { model, input, output, options, images } => {
                let inputs = vec![(*input, images.view().into())];
                let [logits] = model.run_n(inputs, [*output], Some(options.clone()))?;
                let logits = logits.into_tensor::<f32>().context("logits are not f32")?;
                Ok(logits.to_vec())
            }
            Self::Tract { plan, images } => {
                let outputs = plan.run(tvec!(images.clone()))?;
                let logits = outputs.first().context("no output")?;
                Ok(logits.to_plain_array_view::<f32>()?.iter().copied().collect())
            }
        }
    }
}
