"""The paper's data sets, each as one tensor on the device."""

from esgd.data.dataset import DATASETS, Dataset, load, pca_squared_error

__all__ = ["DATASETS", "Dataset", "load", "pca_squared_error"]
