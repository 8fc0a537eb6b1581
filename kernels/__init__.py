"""The compiled kernels of fastprop. They take plain arrays and integers and check nothing."""
