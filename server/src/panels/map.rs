//! The Regions on a map: which of them are there.

use leptos::prelude::*;
use shared::Region;

/// The picture's width, in its own units: two for each degree.
const WIDTH: f64 = 720.0;

/// Its height: from 78 degrees north to 56 south.
const HEIGHT: f64 = 268.0;

/// The northernmost degree.
const NORTH: f64 = 78.0;

/// Coasts, as coarse as a lamp on a map needs: corners as degrees east and north.
const COASTS: [&[(i16, i16)]; 9] = [
    // North America.
    &[
        (-166, 66),
        (-156, 71),
        (-125, 70),
        (-95, 72),
        (-80, 62),
        (-62, 58),
        (-56, 52),
        (-66, 45),
        (-76, 36),
        (-81, 26),
        (-90, 30),
        (-97, 26),
        (-90, 16),
        (-80, 8),
        (-86, 12),
        (-105, 20),
        (-115, 30),
        (-124, 40),
        (-124, 48),
        (-135, 58),
        (-152, 59),
    ],
    // South America.
    &[
        (-78, 8),
        (-62, 10),
        (-50, 0),
        (-35, -7),
        (-40, -22),
        (-57, -36),
        (-66, -46),
        (-70, -54),
        (-75, -48),
        (-71, -30),
        (-71, -18),
        (-81, -5),
    ],
    // Greenland.
    &[(-55, 77), (-20, 78), (-22, 70), (-43, 60), (-53, 68)],
    // Africa.
    &[
        (-16, 15),
        (-9, 31),
        (10, 37),
        (32, 31),
        (43, 12),
        (51, 11),
        (40, -5),
        (40, -16),
        (32, -28),
        (20, -34),
        (13, -18),
        (9, 2),
        (-8, 4),
    ],
    // Europe and Asia.
    &[
        (-9, 38),
        (-9, 43),
        (-1, 46),
        (5, 52),
        (9, 56),
        (6, 60),
        (13, 66),
        (25, 71),
        (42, 67),
        (68, 72),
        (100, 77),
        (140, 73),
        (178, 69),
        (162, 60),
        (158, 52),
        (140, 58),
        (135, 44),
        (127, 39),
        (129, 35),
        (126, 34),
        (124, 40),
        (118, 38),
        (122, 30),
        (115, 22),
        (108, 20),
        (109, 12),
        (103, 2),
        (99, 8),
        (97, 17),
        (88, 22),
        (80, 8),
        (72, 20),
        (60, 25),
        (50, 30),
        (57, 22),
        (45, 13),
        (35, 30),
        (36, 37),
        (27, 37),
        (24, 40),
        (16, 39),
        (12, 44),
        (3, 43),
        (-1, 37),
    ],
    // Great Britain and Ireland.
    &[(-5, 50), (1, 51), (-2, 58), (-6, 58), (-10, 52)],
    // Japan.
    &[
        (130, 31),
        (136, 34),
        (141, 36),
        (145, 44),
        (141, 45),
        (139, 38),
        (132, 35),
    ],
    // The islands between Asia and Australia.
    &[
        (96, 5),
        (106, -6),
        (120, -9),
        (140, -8),
        (150, -10),
        (138, -2),
        (118, 5),
        (105, -2),
    ],
    // Australia.
    &[
        (114, -22),
        (130, -12),
        (137, -12),
        (142, -11),
        (153, -26),
        (150, -38),
        (138, -35),
        (128, -32),
        (115, -34),
    ],
];

/// Where a Region is: degrees east and north.
const fn place(region: Region) -> (f64, f64) {
    match region {
        Region::Tokyo => (139.7, 35.7),
        Region::Seoul => (127.0, 37.6),
        Region::Frankfurt => (8.7, 50.1),
        Region::Ireland => (-6.3, 53.3),
        Region::Virginia => (-77.5, 39.0),
        Region::Oregon => (-120.5, 45.8),
    }
}

/// A point of the picture.
fn point(east: f64, north: f64) -> (f64, f64) {
    ((east + 180.0) * 2.0, (NORTH - north) * 2.0)
}

/// The map with a lamp for each Region; the lists of the page say the same in words.
pub fn map(regions: &[Region]) -> AnyView {
    let coasts: Vec<AnyView> = COASTS
        .iter()
        .map(|coast| {
            let corner = |(east, north): &(i16, i16)| {
                let (x, y) = point(f64::from(*east), f64::from(*north));
                format!("{x},{y}")
            };
            let corners: Vec<String> = coast.iter().map(corner).collect();
            view! { <polygon points=corners.join(" ")></polygon> }.into_any()
        })
        .collect();
    let lamps: Vec<AnyView> = regions
        .iter()
        .map(|region| {
            let (east, north) = place(*region);
            let (x, y) = point(east, north);
            // Names go away from their neighbours.
            let west_of_another = regions
                .iter()
                .any(|other| place(*other).0 > east && place(*other).0 - east < 40.0);
            let (anchor, beside) = if west_of_another {
                ("end", -12.0)
            } else {
                ("start", 12.0)
            };
            view! {
                <g class="spot" data-spot=region.code() data-open="unknown">
                    <circle cx=x cy=y r="7"></circle>
                    <text x=x + beside y=y + 4.0 text-anchor=anchor>{region.city()}</text>
                </g>
            }
            .into_any()
        })
        .collect();
    view! {
        <svg class="map" viewBox=format!("0 0 {WIDTH} {HEIGHT}") role="img" aria-label="The Regions on a map of the world">
            {coasts}
            {lamps}
        </svg>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_on_the_picture() {
        let coasts = COASTS.iter().copied().flatten();
        let coasts = coasts.map(|(east, north)| (f64::from(*east), f64::from(*north)));
        for (east, north) in coasts.chain(Region::ALL.map(place)) {
            let (x, y) = point(east, north);
            assert!(
                (0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y),
                "{east} {north}"
            );
        }
    }
}
