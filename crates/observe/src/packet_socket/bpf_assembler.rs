//! A small assembler for classic BPF, the language of socket filters (Linux
//! Documentation/networking/filter.rst). Labels mark places further on; jumps go forward only, so
//! every program ends.

/// An instruction as the kernel takes it.
pub(super) type Instruction = libc::sock_filter;

/// What a jump compares the accumulator with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    Equal(u32),
    Greater(u32),
    AnyBit(u32),
}

/// A place further on in the program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label(usize);

/// Where to go on.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    Next,
    Label(Label),
}

/// How wide a load is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Width {
    Byte,
    Half,
    Word,
}

#[derive(Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// The instructions that jump to each label, and how; and where it is.
    jumps: Vec<(usize, Label, Arm)>,
    places: Vec<Option<usize>>,
}

#[derive(Debug, Clone, Copy)]
enum Arm {
    Always,
    True,
    False,
}

const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ALU_AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;
const ABSOLUTE: u16 = 0x20;
const INDIRECT: u16 = 0x40;
const HEADER_LENGTH: u16 = 0xb1;

impl Assembler {
    pub fn new() -> Self {
        Assembler::default()
    }

    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Says that `label` is here.
    pub fn place(&mut self, label: Label) {
        if let Some(place) = self.places.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    fn push(&mut self, code: u16, k: u32) {
        self.code.push(Instruction {
            code,
            jt: 0,
            jf: 0,
            k,
        });
    }

    /// A = the packet's bytes at `at`.
    pub fn load(&mut self, width: Width, at: u32) {
        self.push(LD | ABSOLUTE | size(width), at);
    }

    /// A = the packet's bytes at X + `at`.
    pub fn load_behind_x(&mut self, width: Width, at: u32) {
        self.push(LD | INDIRECT | size(width), at);
    }

    /// A = what the kernel knows of the packet (`SKF_AD_…`).
    pub fn load_ancillary(&mut self, what: i32) {
        self.push(
            LD | ABSOLUTE | size(Width::Word),
            (libc::SKF_AD_OFF + what) as u32,
        );
    }

    /// X = `value`.
    pub fn set_x(&mut self, value: u32) {
        self.push(LDX, value);
    }

    /// X = the length of the IPv4 header at `at`.
    pub fn header_length_to_x(&mut self, at: u32) {
        self.push(HEADER_LENGTH, at);
    }

    /// A = A & `mask`.
    pub fn and(&mut self, mask: u32) {
        self.push(ALU_AND, mask);
    }

    /// Ends: this many bytes of the packet are taken, 0 for none.
    pub fn give(&mut self, bytes: u32) {
        self.push(RET, bytes);
    }

    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label, Arm::Always));
        self.push(JA, 0);
    }

    pub fn branch(&mut self, test: Test, on_true: To, on_false: To) {
        let (code, k) = match test {
            Test::Equal(k) => (JEQ, k),
            Test::Greater(k) => (JGT, k),
            Test::AnyBit(k) => (JSET, k),
        };
        for (to, arm) in [(on_true, Arm::True), (on_false, Arm::False)] {
            if let To::Label(label) = to {
                self.jumps.push((self.code.len(), label, arm));
            }
        }
        self.push(code, k);
    }

    /// Goes to `label` where the test holds.
    pub fn jump_if(&mut self, test: Test, label: Label) {
        self.branch(test, To::Label(label), To::Next);
    }

    /// Goes to `label` where the test does not hold.
    pub fn jump_unless(&mut self, test: Test, label: Label) {
        self.branch(test, To::Next, To::Label(label));
    }

    /// The program. `None` if a label was not placed, or too far off: a branch reaches 255
    /// instructions.
    pub fn finish(mut self) -> Option<Vec<Instruction>> {
        for (from, label, arm) in self.jumps {
            let place = (*self.places.get(label.0)?)?;
            let distance = place.checked_sub(from + 1)?;
            let instruction = self.code.get_mut(from)?;
            match arm {
                Arm::Always => instruction.k = u32::try_from(distance).ok()?,
                Arm::True => instruction.jt = u8::try_from(distance).ok()?,
                Arm::False => instruction.jf = u8::try_from(distance).ok()?,
            }
        }
        Some(self.code)
    }
}

fn size(width: Width) -> u16 {
    match width {
        Width::Word => 0x00,
        Width::Half => 0x08,
        Width::Byte => 0x10,
    }
}
