// Matrix product of a batch of rows with a weight of 16-bit floats, by cooperative matrices (tensor cores).
//
//   y[r, n] = epilogue( Σ_k half(x[r, k]) · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// x is cast to f16 when it is written to workgroup memory. Sums are f32, in an order that the hardware chooses. Metal
// has fragments of 8 × 8.
//
// grid   ⌈rows / TILE⌉ · ⌈N / TILE⌉ workgroups of four subgroups
// reads  x (rows, K) · weight (N, K) or (K, N), 16-bit · bias (N) · extra (rows, N)
// makes  y (rows, N), row r at r·y_stride + y_first
// K and N are multiples of 4.
enable f16;
enable wgpu_cooperative_matrix;
const SIZE: u32 = 8u;
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
#import grid
#import tanh
#import activation
#import epilogue
#import cooperative
