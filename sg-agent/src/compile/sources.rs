//! Which addresses an interface may use, with which MAC address.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use sg_common::{heap::Line, interface::Owner};
use zerocopy::transmute;

use super::{
    error::DoesNotFit,
    heap::Heap,
    prefixes::{self, Folded, Net},
};
use crate::policy::model::Interface;

/// A MAC address; `None` = any.
type Mac = Option<[u8; 6]>;

/// Largest number of MAC addresses of one address.
const MAX_MACS: usize = 9;

/// Stores the address trees of the sources of `spec`, by family. An address that is in several prefixes may go with
/// the MAC addresses of each.
pub fn sources(heap: &mut Heap, name: &str, spec: &Interface) -> Result<[u32; 2], DoesNotFit> {
    let mut items: [Vec<(Net, Mac)>; 2] = Default::default();
    for (net, mac) in owned(spec) {
        let (family, place) = Net::of(&net);
        items[family].push((place, mac));
    }
    let mut trees = [0; 2];
    for family in 0..2 {
        let fold = |heap: &mut Heap, around: Option<&BTreeSet<Mac>>, own: &[(Net, Mac)]| {
            let mut macs = around.cloned().unwrap_or_default();
            macs.extend(own.iter().map(|&(_, mac)| mac));
            Ok(Folded { answer: owner(heap, name, &macs)?, inner: macs })
        };
        trees[family] = prefixes::fold(heap, family, &mut items[family], fold)?.0;
    }
    Ok(trees)
}

/// Stores the address trees of the exempt networks, by family.
pub fn exempt(heap: &mut Heap, spec: &Interface) -> Result<[u32; 2], DoesNotFit> {
    let mut trees = [0; 2];
    for (family, tree) in trees.iter_mut().enumerate() {
        let nets = spec.exempt.iter().map(Net::of).filter(|&(of, _)| of == family);
        let mut items: Vec<(Net, ())> = nets.map(|(_, net)| (net, ())).collect();
        let fold = |_: &mut Heap, _: Option<&()>, _: &[(Net, ())]| Ok(Folded { answer: 1, inner: () });
        *tree = prefixes::fold(heap, family, &mut items, fold)?.0;
    }
    Ok(trees)
}

/// The first own address of each family that goes with the interface's own MAC address and no other.
pub fn first(spec: &Interface) -> ([u8; 4], [u8; 16]) {
    let is_plain = |addr: &&IpAddr| {
        let pairs = owned(spec).filter(|(net, _)| net.contains(*addr));
        pairs.into_iter().all(|(_, mac)| mac == spec.mac) || spec.mac.is_none()
    };
    let (mut v4, mut v6) = ([0; 4], [0; 16]);
    for addr in spec.addresses.iter().rev().filter(is_plain) {
        match addr {
            IpAddr::V4(addr) => v4 = addr.octets(),
            IpAddr::V6(addr) => v6 = addr.octets(),
        }
    }
    (v4, v6)
}

fn owned(spec: &Interface) -> impl Iterator<Item = (IpNet, Mac)> {
    let own = spec.addresses.iter().map(|&addr| (IpNet::from(addr), spec.mac));
    own.chain(spec.allowed_address_pairs.iter().map(|pair| (pair.prefix, pair.mac.or(spec.mac))))
}

fn owner(heap: &mut Heap, name: &str, macs: &BTreeSet<Mac>) -> Result<u32, DoesNotFit> {
    let mut owner = Owner::default();
    if !macs.contains(&None) {
        if macs.len() > MAX_MACS {
            return Err(DoesNotFit::Macs { interface: name.to_owned(), macs: macs.len(), limit: MAX_MACS });
        }
        owner.count = macs.len() as u32;
        for (place, mac) in owner.macs.iter_mut().zip(macs.iter().flatten()) {
            *place = *mac;
        }
    }
    let line: Line = transmute!(owner);
    heap.store(line)
}
