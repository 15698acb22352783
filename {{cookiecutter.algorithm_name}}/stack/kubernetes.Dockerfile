# Template: the project's image with a model in it, for Kubernetes. The context is the model's folder:
#   docker build --build-arg IMAGE=my-algorithm:local --file stack/kubernetes.Dockerfile opt_ml/model
ARG IMAGE
FROM ${IMAGE} AS model
COPY . /opt/ml/model
# Any user can read it.
RUN [ -n "$(ls -A /opt/ml/model)" ] || { echo "There is no model in the folder given: train one first." >&2; exit 1; } \
 && chmod -R a+rX /opt/ml/model

FROM ${IMAGE}
COPY --from=model /opt/ml/model /opt/ml/model
