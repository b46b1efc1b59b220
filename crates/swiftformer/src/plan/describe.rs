//! What the steps of a plan are, for tables of where time goes.

use super::{ConvLayer, Plan, Step, packed::PackedTail};
use crate::arch::{Block, Conv};

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// Where it stands, e.g. `stage 2 block 0 conv encoder`.
    pub name: String,
    /// `[height, width, channels]` of what it writes.
    pub output: [usize; 3],
    /// Multiply-accumulates.
    pub macs: u64,
}

impl Plan {
    /// Every step in order, the tail last; outputs along the way count as steps without operations.
    pub fn steps(&self) -> Vec<StepInfo> {
        let steps = self.steps.iter().map(|step| self.describe(step));
        let labels = match self.tail() {
            PackedTail::Classifier { logits: Some(matrix), .. } => matrix.outputs(),
            _ => 0,
        };
        let tail = StepInfo {
            name: "mean and heads".into(),
            output: [1, 1, labels],
            macs: (self.output.channels * labels) as u64,
        };
        steps.chain([tail]).collect()
    }

    fn describe(&self, step: &Step) -> StepInfo {
        let arch = &*self.network.arch;
        let dense = |conv: &Conv, size: [usize; 2]| conv.macs(size);
        let (name, shape, macs) = match *step {
            Step::Conv { layer: ConvLayer::Stem(index), output, .. } => {
                let macs = dense(&arch.stem[index].conv, [output.height, output.width]);
                (format!("stem conv {index}"), output, macs)
            }
            Step::Conv { layer: ConvLayer::Transition(stage), output, .. } => {
                let conv = arch.stages[stage].transition.as_ref();
                let macs = conv.map_or(0, |layer| dense(&layer.conv, [output.height, output.width]));
                (format!("transition {stage}"), output, macs)
            }
            Step::ConvBlock { stage, block, shape, .. } => {
                let (kind, conv) = match &arch.stages[stage].blocks[block] {
                    Block::ConvEncoder(conv) => ("conv encoder", conv.as_ref()),
                    Block::Attention(block) => ("local representation", &block.local),
                };
                let layers = [&conv.depthwise.conv, &conv.pointwise1, &conv.pointwise2];
                let macs = layers.iter().map(|layer| dense(layer, [shape.height, shape.width])).sum();
                (format!("stage {stage} block {block} {kind}"), shape, macs)
            }
            Step::Attention { stage, block, shape, .. } => {
                let size = [shape.height, shape.width];
                let macs = match &arch.stages[stage].blocks[block] {
                    Block::Attention(block) => {
                        // Queries, keys and the two merged products: four squares a token.
                        let squares = 4 * shape.channels * shape.channels * size[0] * size[1];
                        squares as u64 + dense(&block.fc1, size) + dense(&block.fc2, size)
                    }
                    Block::ConvEncoder(_) => 0,
                };
                (format!("stage {stage} block {block} attention and MLP"), shape, macs)
            }
            Step::Tap(tap, shape) => (format!("output {tap:?}"), shape, 0),
        };
        StepInfo { name, output: [shape.height, shape.width, shape.channels], macs }
    }
}
