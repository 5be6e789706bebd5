"""What roomd knows and decides: values in, values out, nothing else."""
