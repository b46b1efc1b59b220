//! What there is to see.

/// The classes: things with an outline, and stuff that fills a picture. A dozen, and some more that a model of the dozen has
/// never seen, to fine-tune it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Red, green or yellow, with a stem.
    Apple,
    /// A yellow crescent.
    Banana,
    /// Bricks and mortar.
    BrickWall,
    /// A face with hands and ticks.
    Clock,
    /// A cube with pips.
    Dice,
    /// A striped fish.
    Fish,
    /// Petals around a centre.
    Flower,
    /// A leaf with veins, green or in autumn's colours.
    Leaf,
    /// Stars, sometimes a moon.
    StarrySky,
    /// A low sun over water or hills.
    Sunset,
    /// A fuzzy ball with a white seam.
    TennisBall,
    /// Three lamps, one of them lit.
    TrafficLight,
    /// A ribbed green column with arms.
    Cactus,
    /// A spotted beetle.
    Ladybird,
    /// A spotted cap on a pale stem.
    Mushroom,
    /// A sharpened stick with a coloured coat.
    Pencil,
    /// Two or three balls of snow with a face.
    Snowman,
    /// A dome of coloured panels with a crook.
    Umbrella,
}

impl Class {
    /// The dozen, in the order of their names: labels are positions here.
    pub const ALL: [Self; 12] = [
        Self::Apple,
        Self::Banana,
        Self::BrickWall,
        Self::Clock,
        Self::Dice,
        Self::Fish,
        Self::Flower,
        Self::Leaf,
        Self::StarrySky,
        Self::Sunset,
        Self::TennisBall,
        Self::TrafficLight,
    ];

    /// Further classes, all with an outline, in the order of their names.
    pub const MORE: [Self; 6] =
        [Self::Cactus, Self::Ladybird, Self::Mushroom, Self::Pencil, Self::Snowman, Self::Umbrella];

    /// Those of the dozen that have an outline.
    pub const THINGS: [Self; 9] = [
        Self::Apple,
        Self::Banana,
        Self::Clock,
        Self::Dice,
        Self::Fish,
        Self::Flower,
        Self::Leaf,
        Self::TennisBall,
        Self::TrafficLight,
    ];

    /// The classes that fill a picture.
    pub const STUFF: [Self; 3] = [Self::BrickWall, Self::StarrySky, Self::Sunset];

    /// The name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Banana => "banana",
            Self::BrickWall => "brick wall",
            Self::Clock => "clock",
            Self::Dice => "dice",
            Self::Fish => "fish",
            Self::Flower => "flower",
            Self::Leaf => "leaf",
            Self::StarrySky => "starry sky",
            Self::Sunset => "sunset",
            Self::TennisBall => "tennis ball",
            Self::TrafficLight => "traffic light",
            Self::Cactus => "cactus",
            Self::Ladybird => "ladybird",
            Self::Mushroom => "mushroom",
            Self::Pencil => "pencil",
            Self::Snowman => "snowman",
            Self::Umbrella => "umbrella",
        }
    }

    /// The position in [`Self::ALL`]; further classes follow behind it.
    pub fn label(self) -> usize {
        self as usize
    }
}
