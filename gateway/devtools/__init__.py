"""Tools for developers: samples, the simulator, explanations. Nothing that receives events imports them."""
