//! The frames of a WebSocket (RFC 6455 §5.2), as far as it takes to close one from outside.

/// The status codes of a close frame (RFC 6455 §7.4.1, and the registry of IANA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// The connection was silent for too long.
    GoingAway = 1001,
    /// The session has ended.
    PolicyViolation = 1008,
    /// This node has lost its lease, or stops. The client may connect again.
    TryAgainLater = 1013,
}

/// A close frame of a server, with a reason.
pub(super) fn close_frame(code: CloseCode) -> Vec<u8> {
    let reason: &[u8] = match code {
        CloseCode::GoingAway => b"idle",
        CloseCode::PolicyViolation => b"session ended",
        CloseCode::TryAgainLater => b"try again",
    };
    let length = u8::try_from(2 + reason.len()).expect("reasons are short");
    let code = (code as u16).to_be_bytes();
    [&[0x88, length], code.as_slice(), reason].concat()
}

/// Follows the frames that a server sends. A close frame can be inserted only between two of them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The bytes of the header of the next frame that have passed.
    header: Vec<u8>,
    /// The bytes of the current frame that have not passed yet.
    left: u64,
    /// The server has closed, so nothing may follow.
    is_closed: bool,
}

impl Frames {
    /// Notes bytes that are passed on.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            if let Some(length) = self.length() {
                self.is_closed |= self.header[0] & 0x0F == 8;
                self.left = length;
                self.header.clear();
            }
        }
    }

    /// Whether a frame can be inserted now.
    pub(super) fn is_between_frames(&self) -> bool {
        self.left == 0 && self.header.is_empty() && !self.is_closed
    }

    /// The number of bytes after the header, once that is complete.
    fn length(&self) -> Option<u64> {
        let second = *self.header.get(1)?;
        let (more, key) = (&self.header[2..], if second & 0x80 == 0 { 0 } else { 4 });
        let length = match second & 0x7F {
            126 => u64::from(u16::from_be_bytes(more.get(..2)?.try_into().ok()?)),
            127 => u64::from_be_bytes(more.get(..8)?.try_into().ok()?),
            length => u64::from(length),
        };
        Some(length.saturating_add(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(length as u8),
            126..0x1_0000 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + length, 7);
        frame
    }

    #[test]
    fn frames_are_followed_however_they_are_split() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let bytes = [frame(2, length), frame(9, 3)].concat();
            for step in [1, 2, 3, 7, 1000, 100_000] {
                let mut frames = Frames::default();
                let mut between = Vec::new();
                for (number, part) in bytes.chunks(step).enumerate() {
                    frames.pass(part);
                    if frames.is_between_frames() {
                        between.push(((number + 1) * step).min(bytes.len()));
                    }
                }
                let ends = [bytes.len() - 5, bytes.len()];
                let expected: Vec<_> = ends.into_iter().filter(|end| end % step == 0 || *end == bytes.len()).collect();
                assert_eq!(between, expected, "{length} by {step}");
            }
        }
    }

    #[test]
    fn masked_frames_have_a_key() {
        let mut frames = Frames::default();
        frames.pass(&[0x81, 0x82, 1, 2, 3, 4, 5]);
        assert!(!frames.is_between_frames());
        frames.pass(&[6]);
        assert!(frames.is_between_frames());
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        let mut frames = Frames::default();
        frames.pass(&close_frame(CloseCode::GoingAway));
        assert!(!frames.is_between_frames());
    }

    #[test]
    fn a_close_frame_has_its_code_and_a_reason() {
        assert_eq!(close_frame(CloseCode::PolicyViolation), b"\x88\x0f\x03\xf0session ended");
    }
}
