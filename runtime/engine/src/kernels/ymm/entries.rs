//! The entry points of an instruction set: functions that enable its features and inline the loops of this folder.

/// Makes the entry points of one instruction set: a table of kernels whose functions enable
/// `$features` and inline the loops of this folder with `$dot`, a step of which takes `$step` multiplications.
macro_rules! entries {
    ($visibility:vis $table:ident, $name:literal, $features:literal, $dot:ty, $step:literal) => {
        #[doc = concat!("The kernels of ", $name, ".")]
        $visibility static $table: $crate::kernels::Kernels = {
            use $crate::kernels::{
                Block, Kernels, PackedConv, PackedDepthwise, Product, Rows, Sum, wide_store, winograd, ymm,
            };
            use $crate::quant::Table;

            #[target_feature(enable = $features)]
            unsafe fn conv(packed: &PackedConv, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::conv::conv::<$dot, false>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::conv::conv::<$dot, true>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::depthwise::depthwise::<$dot, false>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn depthwise_sums(packed: &PackedDepthwise, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::depthwise::depthwise::<$dot, true>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn wide_store(store: &wide_store::WideStore, row: &wide_store::WideRow) {
                // Safety: handed on; the features are enabled.
                unsafe { wide_store::store(store, row) }
            }
            #[target_feature(enable = $features)]
            unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::lookup::table(table, input, output, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::elementwise::max::<$dot>(input, accumulator, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn add(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::elementwise::add::<$dot>(sum, a, b, output, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn mul(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::elementwise::mul::<$dot>(product, a, b, output, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn mean(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::elementwise::mean::<$dot>(block, input, output, channels) }
            }
            #[target_feature(enable = $features)]
            unsafe fn tiles(packed: &winograd::PackedWinograd, block: &winograd::Block) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::winograd::run::<$dot>(packed, block) }
            }
            #[target_feature(enable = $features)]
            unsafe fn burn(multiplications: u64) -> u64 {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::elementwise::burn::<$dot>(multiplications) }
            }
            Kernels {
                name: $name,
                lanes: ymm::dot::LANES,
                panel: ymm::dot::PANEL,
                block: 4,
                sign_xor: <$dot as ymm::dot::Dot>::SIGN_XOR,
                // with more channels the tables, one a channel, would take longer than is saved
                joins: ymm::dot::LANES * ymm::dot::PANEL,
                short_tables: true,
                winograd: Some(ymm::winograd::loops::<$step>(tiles)),
                conv,
                depthwise,
                conv_sums,
                depthwise_sums,
                wide_store,
                table,
                max,
                add,
                mul,
                mean,
                gather: $crate::kernels::ymm::gather::ymm,
                dots: crate::kernels::dots::dots_avx2,
                burn,
            }
        };
    };
}
pub(in crate::kernels) use entries;
