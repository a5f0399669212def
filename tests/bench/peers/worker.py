"""One engine in a process of its own: loads a network, then runs it as often as it is told.

`worker.py ENGINE FILE THREADS`, ENGINE one of onnxruntime, litert, ncnn, opencv. It prints an object
when it has loaded; for each number on standard input it prints an object with that many times.
Only the run of the network is timed: the input is in place, in the type that the engine takes.
"""

import json
import os
import pathlib
import sys
import time


def onnxruntime(path, threads):
    """QDQ, bytes in and out."""
    import numpy
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3

    def load():
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        # the quantizer leaves the input real where its first node has no int8 form
        kind = numpy.float32 if "float" in source.type else numpy.uint8
        values = {source.name: numpy.full(source.shape, 114, kind)}
        return lambda: session.run(None, values)

    return load, ort.__version__


def litert(path, threads):
    """Signed bytes in and out; XNNPACK is the interpreter's default on a CPU."""
    import ai_edge_litert
    import numpy
    from ai_edge_litert.interpreter import Interpreter

    def load():
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]
        interpreter.set_tensor(source["index"], numpy.full(source["shape"], 14, source["dtype"]))
        return interpreter.invoke

    return load, getattr(ai_edge_litert, "__version__", "")


def ncnn(path, threads):
    """Real numbers in and out: an int8 network of ncnn converts inside."""
    import ncnn as engine
    import numpy

    meta = json.loads(path.with_suffix(".json").read_text())
    values = numpy.full(meta["shape"], 0.5, numpy.float32)

    def load():
        net = engine.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn does not load {path}")
        source = engine.Mat(values)

        def run():
            extractor = net.create_extractor()
            extractor.input(meta["input"], source)
            for name in meta["outputs"]:
                code, _ = extractor.extract(name)
                if code:
                    raise RuntimeError(f"ncnn does not compute {name}: {code}")

        return run

    return load, engine.__version__


def opencv(path, threads):
    """QDQ; the module takes real numbers or bytes."""
    import cv2
    import numpy

    cv2.setNumThreads(threads)
    shape = json.loads(path.with_suffix(".json").read_text())["shape"]

    def load():
        net = cv2.dnn.readNetFromONNX(str(path))
        net.setInput(numpy.full((1, *shape), 0.5, numpy.float32))
        names = net.getUnconnectedOutLayersNames()
        return lambda: net.forward(names)

    return load, cv2.__version__


ENGINES = {"onnxruntime": onnxruntime, "litert": litert, "ncnn": ncnn, "opencv": opencv}


def memory_mb(key):
    """A line of this process's status, in MB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def main():
    engine, path, threads = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    # what an engine prints must not stand between our lines
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    load, version = ENGINES[engine](path, threads)
    before = memory_mb("VmRSS:")
    start = time.perf_counter()
    run = load()
    load_ms = (time.perf_counter() - start) * 1e3
    run()
    print(json.dumps({"load_ms": load_ms, "before_mb": before, "version": version}), file=lines)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps({"ms": times, "peak_mb": memory_mb("VmHWM:")}), file=lines)


if __name__ == "__main__":
    main()
