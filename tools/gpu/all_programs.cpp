// The programs in one file, for the package of tools/gpu_check: each alone carries its own copy of our libraries.
//   r1_all r1_train …
#include <cstdio>
#include <cstring>

int r1_train_main(int argc, char** argv);
int r1_generate_main(int argc, char** argv);
int r1_bench_main(int argc, char** argv);
int r1_inspect_main(int argc, char** argv);
int bench_generate_main(int argc, char** argv);

int main(int argc, char** argv) {
  struct Program {
    const char* name;
    int (*run)(int, char**);
  };
  const Program programs[] = {{"r1_train", r1_train_main},
                              {"r1_generate", r1_generate_main},
                              {"r1_bench", r1_bench_main},
                              {"r1_inspect", r1_inspect_main},
                              {"bench_generate", bench_generate_main}};
  for (const Program& program : programs) {
    if (argc > 1 && std::strcmp(argv[1], program.name) == 0) return program.run(argc - 1, argv + 1);
  }
  std::fprintf(stderr, "r1_all: expected the name of a program: r1_train, r1_generate, r1_bench, r1_inspect or bench_generate\n");
  return 2;
}
