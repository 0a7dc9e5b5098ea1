//! A reader of DEFLATE blocks (RFC 1951) that knows nothing of zlib: how far back does a match
//! reach? It takes only what a compressor has made, and panics at anything else.

use super::TAIL;

const LENGTH_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const DISTANCE_BASES: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const CODE_LENGTH_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The farthest distance of any match in one message without its tail.
pub(super) fn distance_max(message: &[u8]) -> usize {
    let bytes = [message, &TAIL].concat();
    let mut bits = Bits { bytes: &bytes, at: 0 };
    let mut most = 0;
    while bits.at < bytes.len() * 8 {
        assert_eq!(bits.take(1), 0, "a final block");
        let block = match bits.take(2) {
            0 => bits.stored(),
            1 => {
                let lengths: Vec<u8> = (0..288)
                    .map(|symbol| match symbol {
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                bits.symbols(&Code::new(&lengths), &Code::new(&[5; 30]))
            }
            2 => bits.dynamic(),
            kind => panic!("block type {kind}"),
        };
        most = most.max(block);
    }
    most
}

/// A canonical Huffman code: the symbols in the order of their codes, and how many of each length.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for length in 1..16 {
            let of_length = (0..lengths.len()).filter(|&at| lengths[at] == length);
            let before = symbols.len();
            symbols.extend(of_length);
            counts[usize::from(length)] = symbols.len() - before;
        }
        Self { counts, symbols }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> usize {
        (0..count).fold(0, |value, place| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | usize::from(bit) << place
        })
    }

    fn symbol(&mut self, code: &Code) -> usize {
        let (mut value, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            value |= self.take(1);
            if value < first + count {
                return code.symbols[index + value - first];
            }
            index += count;
            first = (first + count) << 1;
            value <<= 1;
        }
        panic!("no such code")
    }

    fn stored(&mut self) -> usize {
        self.at = self.at.next_multiple_of(8);
        let (length, complement) = (self.take(16), self.take(16));
        assert_eq!(length ^ complement, 0xffff);
        self.at += length * 8;
        0
    }

    fn dynamic(&mut self) -> usize {
        let (literals, distances) = (self.take(5) + 257, self.take(5) + 1);
        let mut lengths = [0; 19];
        for place in 0..self.take(4) + 4 {
            lengths[CODE_LENGTH_ORDER[place]] = self.take(3) as u8;
        }
        let code = Code::new(&lengths);
        let mut lengths: Vec<u8> = Vec::new();
        while lengths.len() < literals + distances {
            let (value, times) = match self.symbol(&code) {
                16 => (*lengths.last().expect("something to repeat"), 3 + self.take(2)),
                17 => (0, 3 + self.take(3)),
                18 => (0, 11 + self.take(7)),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(value, times));
        }
        let (literals, distances) = lengths.split_at(literals);
        self.symbols(&Code::new(literals), &Code::new(distances))
    }

    fn symbols(&mut self, literals: &Code, distances: &Code) -> usize {
        let mut most = 0;
        loop {
            let length = match self.symbol(literals) {
                0..256 => continue,
                256 => return most,
                symbol => symbol - 257,
            };
            self.take(extra_bits(length, 4, LENGTH_BASES.len() - 1));
            let distance = self.symbol(distances);
            let extra = extra_bits(distance, 2, usize::MAX);
            most = most.max(usize::from(DISTANCE_BASES[distance]) + self.take(extra));
        }
    }
}

/// The number grows by one with every `group` symbols, from the second group on; `none` has none.
fn extra_bits(symbol: usize, group: usize, none: usize) -> u32 {
    if symbol == none { 0 } else { (symbol / group).saturating_sub(1) as u32 }
}
