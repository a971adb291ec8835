# unet_med on a CPU. It was written without a container engine at hand and has not been built:
# try it before you rely on it.
#
#   python -m build --wheel                       # makes dist/unet_med-*.whl
#   docker build -t unet-med .
#   docker run --rm --network none --user "$(id -u):$(id -g)" \
#     -v /data/scans:/scans:ro -v /data/masks:/masks unet-med segment /scans --output /masks
FROM python:3.11-slim-bookworm

WORKDIR /opt/unet_med
COPY constraints.txt dist/unet_med-*.whl ./

# torch's CPU build has no CUDA libraries and is a tenth of the size. A hospital without access to
# this index points both options at its own mirror.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" --constraint constraints.txt torch \
 && wheel="$(ls unet_med-*.whl)" \
 && pip install --no-cache-dir --constraint constraints.txt "./$wheel[dicom]" \
 && rm "$wheel"

# No home folder is written to; large volumes use temporary files in /tmp, which may be a mounted disk.
ENV HOME=/tmp MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["unet-med"]
CMD ["--help"]
