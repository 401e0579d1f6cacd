// Number of columns of the values of a sample, and the column of Im E. The host has the list (`Column`).
const COLUMNS: u32 = 9u; // spec 10
const IMAGINARY: u32 = 8u; // spec 9
