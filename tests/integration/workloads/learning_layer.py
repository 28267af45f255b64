"""What training may ask of the learning layer: scikit-learn's and pyRiemann's pipelines, joblib, parquet."""

import io

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aws_lambda_powertools import Logger, Metrics, Tracer
from pyriemann.classification import MDM
from pyriemann.estimation import ERPCovariances, XdawnCovariances
from pyriemann.spatialfilters import Xdawn
from pyriemann.tangentspace import TangentSpace
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

N_EPOCHS, N_CHANNELS, N_TIMES = 160, 4, 40
rng = np.random.default_rng(0)
X = rng.normal(size=(N_EPOCHS, N_CHANNELS, N_TIMES))
y = np.tile([1, 1, 1, 2], N_EPOCHS // 4)
X[y == 2, :, 15:25] += 1.0
groups = np.repeat(np.arange(4), N_EPOCHS // 4)

buffer = io.BytesIO()
flat = pa.FixedSizeListArray.from_arrays(pa.array(X.astype(np.float32).ravel()), N_CHANNELS * N_TIMES)
pq.write_table(pa.table({"features": flat, "label": y}), buffer, compression="zstd")
read = pq.ParquetFile(pa.BufferReader(buffer.getvalue())).read()
assert read["features"].combine_chunks().values.to_numpy().reshape(X.shape).shape == X.shape

flatten = FunctionTransformer(np.reshape, kw_args={"shape": (-1, N_CHANNELS * N_TIMES)})
pipelines = {
    "lda": make_pipeline(flatten, StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    "logistic": make_pipeline(flatten, StandardScaler(), LogisticRegression(C=0.1)),
    "svm": make_pipeline(flatten, StandardScaler(), CalibratedClassifierCV(SVC(kernel="linear"), cv=3)),
    "tangent": make_pipeline(XdawnCovariances(2, estimator="lwf"), TangentSpace(), LogisticRegression()),
    "mdm": make_pipeline(ERPCovariances(estimator="oas"), MDM()),
}
assert Xdawn(2).fit_transform(X, y).shape == (N_EPOCHS, 2 * 2, N_TIMES)
for name, pipeline in pipelines.items():
    predicted = cross_val_predict(clone(pipeline), X, y, groups=groups, cv=LeaveOneGroupOut(), method="predict_proba")
    assert roc_auc_score(y == 2, predicted[:, 1]) > 0.9, name
    assert average_precision_score(y == 2, predicted[:, 1]) > 0.8, name
    assert cohen_kappa_score(y, np.where(predicted[:, 1] > 0.5, 2, 1)) > 0.5, name
    buffer = io.BytesIO()
    joblib.dump(pipeline.fit(X, y), buffer)
    buffer.seek(0)
    np.testing.assert_array_equal(joblib.load(buffer).predict(X), pipeline.predict(X), err_msg=name)

assert Logger(service="x") and Tracer(service="x", disabled=True) and Metrics(service="x", namespace="x")
