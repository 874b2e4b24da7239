"""Networks that map a batch to embeddings; the library puts the clustering layer on top."""

from sklearn_ssldec.networks.backbone import Backbone
from sklearn_ssldec.networks.convnet import ConvNet
from sklearn_ssldec.networks.densenet import DenseNet2D, DenseNet3D
from sklearn_ssldec.networks.light_unet import LightUNet2D, LightUNet3D
from sklearn_ssldec.networks.mlp import MLP
from sklearn_ssldec.networks.unet import UNet2D, UNet3D

__all__ = [
    "MLP",
    "Backbone",
    "ConvNet",
    "DenseNet2D",
    "DenseNet3D",
    "LightUNet2D",
    "LightUNet3D",
    "UNet2D",
    "UNet3D",
]
