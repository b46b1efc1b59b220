//! What there is to see.

/// The classes: things with an outline, and stuff that fills a picture.
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
}

impl Class {
    /// Every class, in the order of their names: labels are positions here.
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

    /// The classes with an outline.
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
        }
    }

    /// The position in [`Self::ALL`].
    pub fn label(self) -> usize {
        self as usize
    }
}
