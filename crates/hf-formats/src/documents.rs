//! Documents: OLE2, PDF, RTF, OneNote, Flash, sheets and queries in text, and XML that carries binary parts.

use crate::Format;

pub(crate) use office_xml::unescape;

mod activemime;
pub(crate) mod base64_parts;
pub(crate) mod cipher;
mod hwp3;
mod le;
mod msxml;
mod office_query;
mod office_xml;
mod ole1;
mod ole2;
mod onenote;
mod pdf;
mod postscript;
mod rtf;
mod swf;
mod sylk;
mod xdp;
mod xlsb;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[
    ole2::FORMAT,
    ole2::HWP_FORMAT,
    pdf::FORMAT,
    rtf::FORMAT,
    swf::FORMAT,
    onenote::FORMAT,
    xdp::FORMAT,
    msxml::FORMAT,
    activemime::FORMAT,
    xlsb::FORMAT,
    hwp3::FORMAT,
    office_xml::FORMAT,
    office_query::FORMAT,
    sylk::FORMAT,
    postscript::FORMAT,
];
