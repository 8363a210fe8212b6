module github.com/emerita-cni/emerita

go 1.26.0
