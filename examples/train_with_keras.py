"""Train the GAN on one's own structures with Keras' callbacks, save it, load it, and draw.

    python examples/train_with_keras.py [EPOCHS]

It writes into the folder `training`; `tensorboard --logdir training/log` shows the losses. `docs/how-to/keras.md` explains it.
"""

import sys

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 400

# --8<-- [start:training]
import keras
import numpy as np
import tensorflow as tf
from pymatgen.core import Lattice, Structure

from ccdcgan_al import CrystalCodec
from ccdcgan_al.models import Ccdcgan, DiversityMonitor
from ccdcgan_al.models.gan_networks import build_dense_discriminator, build_dense_generator, latent_points

keras.utils.set_random_seed(0)
structures = [
    Structure(Lattice.cubic(a), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for a in np.linspace(3.4, 4.0, 32)
]
codec = CrystalCodec.load("fast", ["Bi", "Se"])
graphs = codec.encode(structures)  # float32 (32, side, side, 1)
batches = tf.data.Dataset.from_tensor_slices(graphs).shuffle(32, seed=0).batch(16)

model = Ccdcgan(build_dense_generator(codec.side, 64), build_dense_discriminator(codec.side, 64), seed=0)
model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5, use_ema=True), keras.optimizers.Adam(1e-3, beta_1=0.5))
model.fit(
    batches,
    epochs=EPOCHS,
    verbose=0,
    callbacks=[
        DiversityMonitor(graphs, draws=32),
        keras.callbacks.TensorBoard("training/log", write_graph=False),
        keras.callbacks.BackupAndRestore("training/backup"),
        keras.callbacks.ModelCheckpoint("training/gan.keras", "training_distance", mode="min", save_best_only=True),
        keras.callbacks.EarlyStopping("training_distance", mode="min", patience=100),
    ],
)

best = keras.saving.load_model("training/gan.keras")
drawn = best.predict(latent_points(8, seed=1), verbose=0)
print([answer.formula if isinstance(answer, Structure) else answer.reason for answer in codec.decode(drawn)])
# --8<-- [end:training]
